//! Files of exported jobs: fetched side by side, told in the order of the rows.
//!
//! A name begins with the job's id, which nobody chooses, so no two jobs share one and none leads out of the folder. A
//! file has its name only when it is whole; what is broken off lies under another, and is cleared away by the next
//! run, which fetches just what lacks.

use crate::exit::{Exit, Failure};
use assets::{Assets, Manifest, SaveError, Saved, StoredObject};
use job::Record;
use serde_json::json;
use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use survey::{RESULT_COLUMNS, ResultRow};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// What keeps two exports from writing into one folder.
const LOCK: &str = ".seedfleet-export.lock";
/// Rows that wait for their turn, for each that is being fetched: one slow film holds no others up.
const ROWS_AHEAD: usize = 8;
/// Characters of the caller's own id in a file's name.
const CUSTOM_ID_CHARS: usize = 80;

/// What a row tells of its files.
const OWN: [&str; 3] = ["file", "last_frame_file", "download_error"];
/// The columns of the flat form of rows with files.
pub(super) const COLUMNS: &[&str] = &COLUMNS_OF_ROWS;
const COLUMNS_OF_ROWS: [&str; RESULT_COLUMNS.len() + OWN.len()] = {
    let (mut all, mut n) = ([""; RESULT_COLUMNS.len() + OWN.len()], 0);
    while n < all.len() {
        let own = n.saturating_sub(RESULT_COLUMNS.len());
        all[n] = if n < RESULT_COLUMNS.len() { RESULT_COLUMNS[n] } else { OWN[own] };
        n += 1;
    }
    all
};

/// Files and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    files: u64,
    bytes: u64,
}

/// What came of all files so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    fetched: Sum,
    kept: Sum,
    /// Jobs that lack a file they should have.
    pub(super) failed: u64,
    /// Jobs that have no stored video.
    without: u64,
}

/// What came of one job's files.
#[derive(Debug, Default)]
struct Files {
    fetched: Sum,
    kept: Sum,
    file: Option<String>,
    last_frame: Option<String>,
    error: Option<String>,
}

/// A row whose files are on their way, if it has any.
struct Waiting {
    row: ResultRow,
    files: Option<JoinHandle<Files>>,
}

/// One export's files.
pub(super) struct Download {
    dir: Arc<Path>,
    turns: Arc<Semaphore>,
    waiting: VecDeque<Waiting>,
    rows_max: usize,
    pub(super) tally: Tally,
    /// Held until the end of the export; the system lets go of it however the process ends.
    _lock: File,
}

impl Download {
    /// Makes the folder, takes it for this export alone, and clears away what another was broken off at.
    ///
    /// # Errors
    ///
    /// The folder cannot be used, or another export uses it.
    pub(super) fn begin(dir: &Path, parallel: u8) -> Result<Self, Failure> {
        let unusable = |error: std::io::Error| {
            Failure::usage(format!("--download {}: {error}", dir.display()))
                .hint("name a folder that can be written to; it is made if it is not there")
        };
        fs::create_dir_all(dir).map_err(unusable)?;
        let lock = dir.join(LOCK);
        let file = File::options().create(true).truncate(false).write(true).open(lock);
        let file = file.map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let what = format!("another export fetches files into {}", dir.display());
                let hint = "wait for its end, or name another folder";
                return Err(Failure::new(Exit::Conflict, what).hint(hint));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        for entry in fs::read_dir(dir).map_err(unusable)? {
            let entry = entry.map_err(unusable)?;
            if entry.file_name().to_str().is_some_and(is_part) {
                fs::remove_file(entry.path()).map_err(unusable)?;
            }
        }
        Ok(Self {
            dir: dir.into(),
            turns: Arc::new(Semaphore::new(parallel.into())),
            waiting: VecDeque::new(),
            rows_max: usize::from(parallel) * ROWS_AHEAD,
            tally: Tally::default(),
            _lock: file,
        })
    }

    /// Takes a row in, and begins to fetch its files when it is their turn.
    pub(super) fn add(&mut self, row: ResultRow, record: &Record, assets: &Assets) {
        let here = record.life.state.output().filter(|output| output.is_here());
        let custom_id = record.spec.custom_id.as_deref();
        let files = here.map(|output| match (&row.manifest, &row.incomplete) {
            (Some(manifest), _) => {
                let of = |manifest: &Manifest| {
                    manifest.output().is_some_and(|object| object.sha256 == output.video_sha256)
                };
                let ours = manifest.job_id == record.id.as_str() && of(manifest);
                let stem = stem(record.id.as_str(), custom_id);
                let wanted = if ours {
                    Ok(wanted(manifest, &stem))
                } else {
                    Err(format!("{} tells of another video", output.manifest))
                };
                let (dir, turns) = (Arc::clone(&self.dir), Arc::clone(&self.turns));
                let assets = assets.clone();
                tokio::spawn(async move {
                    // It is closed by nobody, so a turn always comes.
                    let _turn = turns.acquire().await;
                    match wanted {
                        Ok(wanted) => fetch(&assets, &dir, wanted).await,
                        Err(error) => Files { error: Some(error), ..Files::default() },
                    }
                })
            }
            (None, why) => {
                let error = why.clone();
                tokio::spawn(async move { Files { error, ..Files::default() } })
            }
        });
        self.waiting.push_back(Waiting { row, files });
    }

    /// The next row whose files are here or failed, with the sentence of what failed: when there are as many rows
    /// as may wait, or at the end.
    pub(super) async fn next(&mut self, at_end: bool) -> Option<(ResultRow, Option<String>)> {
        if !at_end && self.waiting.len() < self.rows_max {
            return None;
        }
        // The row stays in line while it is waited for: whoever breaks this off still finds its task.
        let files = match &mut self.waiting.front_mut()?.files {
            Some(task) => Some(task.await.unwrap_or_else(|error| Files {
                error: Some(format!("the copy ended unexpectedly: {error}")),
                ..Files::default()
            })),
            None => None,
        };
        let Waiting { mut row, .. } = self.waiting.pop_front()?;
        let Files { fetched, kept, file, last_frame, error } = match files {
            Some(files) => files,
            None => {
                self.tally.without += 1;
                Files::default()
            }
        };
        self.tally.fetched.add(fetched);
        self.tally.kept.add(kept);
        self.tally.failed += u64::from(error.is_some());
        for (key, value) in OWN.into_iter().zip([&file, &last_frame, &error]) {
            row.cells.insert(key.to_owned(), json!(value));
        }
        let job = row.cells.get("job_id").and_then(|id| id.as_str()).unwrap_or_default();
        let failed = error.map(|error| format!("{job}: {error}"));
        Some((row, failed))
    }

    /// Ends what is under way, and waits until it has ended.
    pub(super) async fn give_up(&mut self) {
        for task in self.waiting.drain(..).filter_map(|waiting| waiting.files) {
            task.abort();
            // An error is what was asked for, and a result comes too late to be told.
            let _ = task.await;
        }
    }
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let noun = if self.files == 1 { "file" } else { "files" };
        write!(f, "{} {noun}, {}", self.files, indicatif::HumanBytes(self.bytes))
    }
}

impl Tally {
    /// In one line.
    pub(super) fn words(&self) -> String {
        let Self { fetched, kept, failed, without } = self;
        format!(
            "fetched {fetched}; kept {kept}; jobs that failed {failed}, without a video {without}"
        )
    }
}

/// One file.
struct Wanted {
    object: StoredObject,
    name: String,
    is_video: bool,
}

/// What of a manifest is fetched, by which names.
fn wanted(manifest: &Manifest, stem: &str) -> Vec<Wanted> {
    let Some(video) = manifest.video() else { return Vec::new() };
    let name = format!("{stem}.mp4");
    let mut wanted = vec![Wanted { object: video.output.clone(), name, is_video: true }];
    if let Some(frame) = &video.last_frame {
        let extension = match frame.content_type.as_str() {
            "image/png" => "png",
            "image/jpeg" => "jpg",
            _ => "bin",
        };
        let name = format!("{stem}.last-frame.{extension}");
        wanted.push(Wanted { object: frame.clone(), name, is_video: false });
    }
    wanted
}

/// What the names of a job's files begin with: its id, and the caller's own in letters that are safe everywhere.
fn stem(id: &str, custom_id: Option<&str>) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' }
    };
    match custom_id {
        Some(own) => {
            let own: String = own.chars().take(CUSTOM_ID_CHARS).map(safe).collect();
            format!("{id}-{own}")
        }
        None => id.to_owned(),
    }
}

/// The temporary name of a file.
fn part_of(name: &str) -> String {
    format!(".{name}.part")
}

/// Whether a name is one that [`part_of`] gives.
fn is_part(name: &str) -> bool {
    name.starts_with(".job_") && name.ends_with(".part")
}

async fn fetch(assets: &Assets, dir: &Path, wanted: Vec<Wanted>) -> Files {
    let mut files = Files::default();
    for Wanted { object, name, is_video } in wanted {
        let (to, part): (PathBuf, PathBuf) = (dir.join(&name), dir.join(part_of(&name)));
        let sum = Sum { files: 1, bytes: object.length_bytes };
        match assets.save(&object, &to, &part).await {
            Ok(saved) => {
                match saved {
                    Saved::Fetched => files.fetched.add(sum),
                    Saved::Kept => files.kept.add(sum),
                }
                let place = if is_video { &mut files.file } else { &mut files.last_frame };
                *place = Some(name);
            }
            // One of two files is worth having, so the other is tried all the same.
            Err(error @ (SaveError::Bucket(_) | SaveError::Local { .. })) => {
                let told = files.error.take().map(|before| format!("{before}; "));
                files.error = Some(format!("{}{error}", told.unwrap_or_default()));
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "job_01JB2AAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_callers_id_leads_nowhere_and_hides_nothing() {
        assert_eq!(stem(ID, None), ID);
        assert_eq!(stem(ID, Some("row-4711")), format!("{ID}-row-4711"));
        let long = "é/".repeat(200);
        for odd in ["../../etc/passwd", "/abs", "", ".", "..", "-rf", "a\nb\u{1b}[31m\0", &long] {
            let stem = stem(ID, Some(odd));
            assert!(stem.starts_with(&format!("{ID}-")), "{stem}");
            let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
            assert!(stem.chars().all(plain) && stem.len() <= 120, "{stem}");
            assert!(is_part(&part_of(&stem)), "{stem}");
        }
        assert!(!is_part(".job_01.mp4") && !is_part("job_01.part") && !is_part(LOCK));
    }

    #[test]
    fn rows_with_files_have_columns_of_their_own_at_the_end() {
        assert_eq!(COLUMNS[..RESULT_COLUMNS.len()], *RESULT_COLUMNS);
        assert_eq!(COLUMNS[RESULT_COLUMNS.len()..], OWN);
    }

    #[test]
    fn a_summary_counts_files_and_bytes() {
        let tally = Tally {
            fetched: Sum { files: 1, bytes: 1_536 },
            kept: Sum { files: 2, bytes: 0 },
            failed: 3,
            without: 4,
        };
        let words =
            "fetched 1 file, 1.50 KiB; kept 2 files, 0 B; jobs that failed 3, without a video 4";
        assert_eq!(tally.words(), words);
    }

    #[test]
    fn a_folder_serves_one_export_at_a_time_and_is_cleared_of_what_was_broken_off() {
        let dir = sandbox::TempDir::new("export").expect("a folder");
        let into = dir.path().join("a/b");
        let first = Download::begin(&into, 2).expect("a folder that is made");
        let second = Download::begin(&into, 2).err().expect("it is taken");
        assert_eq!(second.exit, Exit::Conflict, "{second}");
        let part = into.join(part_of(&format!("{ID}.mp4")));
        let others = [into.join("notes.part"), into.join(".job_list")];
        for file in others.iter().chain([&part]) {
            fs::write(file, "x").expect("a file");
        }
        drop(first);
        Download::begin(&into, 2).expect("it is free again");
        assert!(!part.exists() && others.iter().all(|file| file.exists()));
        let file = &others[0];
        assert_eq!(Download::begin(file, 2).err().map(|failure| failure.exit), Some(Exit::Usage));
    }
}
