//! Where a child's output goes.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Hears each line a child prints: the child's name, then the line without its end.
pub type Echo = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// A line longer than this is told in pieces, so that output without line ends stays bounded.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// A directory for log files, and who hears the lines beside it.
#[derive(Clone)]
pub struct Logs {
    dir: PathBuf,
    echo: Option<Echo>,
}

impl Logs {
    /// Files in `dir` (made when missing), no echo.
    #[must_use]
    pub fn to(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), echo: None }
    }

    /// Tells every line to `echo` as well.
    #[must_use]
    pub fn echo(mut self, echo: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        self.echo = Some(Arc::new(echo));
        self
    }

    /// Prints every line to our standard error as `name | line`.
    #[must_use]
    pub fn echo_to_stderr(self) -> Self {
        self.echo(|name, line| {
            // One write per line: lines of several children then never mix within a line.
            let text = format!("{name:<10} | {line}\n");
            let _ = io::stderr().lock().write_all(text.as_bytes());
        })
    }

    pub(super) fn echoes(&self) -> bool {
        self.echo.is_some()
    }

    pub(super) fn open(&self, name: &str) -> io::Result<(PathBuf, File)> {
        std::fs::create_dir_all(&self.dir)?;
        let path = self.dir.join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
        })?;
        Ok((path, file))
    }

    pub(super) fn follow(&self, name: &str, child: &mut Child, log: &File) -> Vec<JoinHandle<()>> {
        let Some(echo) = &self.echo else { return Vec::new() };
        let stdout = child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
        let stderr = child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
        let pipes = [stdout, stderr].into_iter().flatten();
        pipes
            .filter_map(|pipe| {
                let (name, echo, log) = (name.to_owned(), Arc::clone(echo), log.try_clone().ok()?);
                Some(thread::spawn(move || copy(pipe, log, &name, &echo)))
            })
            .collect()
    }
}

/// Copies until the pipe ends. A full disk must not block the child, so writing is best effort.
fn copy(pipe: Box<dyn Read + Send>, mut log: File, name: &str, echo: &Echo) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut pipe).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let _ = log.write_all(&line);
                echo(name, String::from_utf8_lossy(&line).trim_end());
            }
        }
    }
}
