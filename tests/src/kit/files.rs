//! A host of files that requests refer to: counts who asks for what, and how many at once.

use super::BOUND;
use super::inbound::{self, Request};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Zeros written at once.
static PIECE: [u8; 64 << 10] = [0; 64 << 10];

/// How a file is served.
#[derive(Debug, Clone)]
pub enum Served {
    /// As it is, or the range that was asked for.
    File(Vec<u8>),
    /// These bytes and then zeros, so many in all; ranges are not understood.
    Long(Vec<u8>, u64),
    /// Not, but with this status.
    Status(u16),
    /// Somewhere else.
    Redirect(String),
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, VecDeque<Served>>,
    asked: Vec<String>,
    now: usize,
    most: usize,
    gathered: usize,
    written: u64,
}

/// A running host. Its threads end with the test's process.
#[derive(Clone)]
pub struct FileHost {
    port: u16,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl FileHost {
    /// Listens on a free port of this machine.
    ///
    /// # Panics
    ///
    /// There is no free port.
    #[must_use]
    pub fn start() -> Self {
        let state: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let serving = Arc::clone(&state);
        let port = inbound::listen(move |stream| serve(&serving, stream));
        Self { port, state }
    }

    /// The origin, as `pools.<pool>.output_origins` names it.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// An address below it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// Says how a path is served: each answer once, the last one from then on. Unknown paths are 404.
    pub fn serve(&self, path: &str, answers: impl IntoIterator<Item = Served>) {
        self.lock().files.insert(path.to_owned(), answers.into_iter().collect());
    }

    /// Holds every answer back until so many are asked for at once; from then on none. Whoever waits in vain is
    /// answered in the end.
    pub fn gather(&self, at_once: usize) {
        self.lock().gathered = at_once;
    }

    /// Every path that was asked for, in the order of their arrival.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.lock().asked.clone()
    }

    /// The most requests that waited for their answers at once.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.lock().most
    }

    /// Bytes of bodies that the other side's machine took in.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.lock().written
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state.0)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve((state, changed): &(Mutex<State>, Condvar), stream: TcpStream) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader) {
        let served = {
            let mut held = lock(state);
            held.asked.push(request.path.clone());
            held.now += 1;
            held.most = held.most.max(held.now);
            changed.notify_all();
            let too_few = |state: &mut State| state.most < state.gathered;
            let (mut held, _) = changed
                .wait_timeout_while(held, BOUND, too_few)
                .unwrap_or_else(PoisonError::into_inner);
            // Before the answer leaves: whoever has it may ask the next thing at once.
            held.now -= 1;
            let answers = held.files.get_mut(&request.path);
            let next = answers.and_then(|answers| match answers.len() {
                0 | 1 => answers.front().cloned(),
                _ => answers.pop_front(),
            });
            next.unwrap_or(Served::Status(404))
        };
        let mut count = |bytes: usize| lock(state).written += bytes as u64;
        if answer(&mut writer, &request, served, &mut count).is_err() {
            return;
        }
    }
}

fn answer(
    writer: &mut TcpStream,
    request: &Request,
    served: Served,
    count: &mut impl FnMut(usize),
) -> io::Result<()> {
    let head = |status: u16, length: u64, more: &str| {
        format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{more}\r\n")
    };
    match served {
        Served::Status(status) => writer.write_all(head(status, 0, "").as_bytes()),
        Served::Redirect(to) => {
            writer.write_all(head(302, 0, &format!("location: {to}\r\n")).as_bytes())
        }
        Served::File(bytes) => {
            let all = bytes.len();
            let last = request.header("range").strip_prefix("bytes=0-");
            let wanted = last.and_then(|last| last.parse::<usize>().ok());
            let part = wanted.map_or(all, |last| all.min(last + 1));
            let range = format!("content-range: bytes 0-{}/{all}\r\n", part.saturating_sub(1));
            let (status, more) = if wanted.is_some() { (206, range.as_str()) } else { (200, "") };
            writer.write_all(head(status, part as u64, more).as_bytes())?;
            writer.write_all(&bytes[..part])?;
            count(part);
            Ok(())
        }
        Served::Long(start, length) => {
            writer.write_all(head(200, length, "").as_bytes())?;
            writer.write_all(&start)?;
            let mut left = length.saturating_sub(start.len() as u64);
            while left > 0 {
                let piece = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE.len());
                writer.write_all(&PIECE[..piece])?;
                count(piece);
                left -= piece as u64;
            }
            Ok(())
        }
    }
}

/// As much of a PNG as it takes to know its size.
#[must_use]
pub fn picture(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
    bytes.resize(1_000, 0);
    bytes
}
