//! A fleet whose bucket is S3: a real server of that protocol on a free port, which can be ill.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::kit::{Fleet, Line, Options, TcpProxy, item, text};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use job::{JobId, Record, StateWord};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError, HttpResponse};
use sandbox::TempDir;
use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, watch};

const BUCKET: &str = "videos";
const PREFIX: &str = "fleet/one";
const KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "canary-bucket-secret-3f7d";

/// The server. It lives in this process, the fleet does not.
pub struct S3 {
    address: SocketAddr,
    illness: Arc<Illness>,
    /// Its threads end with it.
    _runtime: Runtime,
    dir: TempDir,
}

#[derive(Default)]
struct Illness {
    /// While true, every request is answered 500.
    ill: AtomicBool,
    /// Requests answered so.
    refused: AtomicU32,
    /// The file-backed server looks, then writes; Amazon's create-if-absent is one step.
    creating: Mutex<()>,
    /// How many reads of a video are still answered; none: all of them.
    videos_left: watch::Sender<Option<u32>>,
    /// Reads of a video that were answered, and those that had to wait.
    videos_read: AtomicU32,
    videos_held: AtomicU32,
    /// Of them, those that still wait.
    videos_waiting: AtomicU32,
}

/// A read of a video that waits, until it is answered or its caller has gone.
struct Waits<'a>(&'a AtomicU32);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl S3 {
    pub fn start() -> Self {
        let dir = TempDir::new("s3").unwrap();
        let served = dir.path().join("served");
        std::fs::create_dir_all(served.join(BUCKET)).unwrap();
        std::fs::write(dir.path().join("key-id"), KEY_ID).unwrap();
        std::fs::write(dir.path().join("secret"), format!("{SECRET}\n")).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(&served).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let service = builder.build();
        let illness = Arc::new(Illness::default());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, service, Arc::clone(&illness)));
        Self { address, illness, _runtime: runtime, dir }
    }

    /// The fleet's settings for it. Few and short retries inside a turn, so that an illness reaches
    /// the step; parts as small as S3 takes them.
    pub fn config(&self) -> String {
        let dir = self.dir.path().display();
        format!(
            r#"[store]
url = "s3://{BUCKET}/{PREFIX}"
part_size_bytes = 5242880
retries_max = 1
retry_for = "1s"

[store.s3]
endpoint = "http://{}"
region = "us-east-1"
allow_http = true
access_key_id_file = "{dir}/key-id"
secret_access_key_file = "{dir}/secret"
"#,
            self.address
        )
    }

    /// Where the server keeps an object.
    fn file(&self, path: &str) -> PathBuf {
        self.dir.path().join("served").join(BUCKET).join(PREFIX).join(path)
    }

    pub fn be_ill(&self, ill: bool) {
        self.illness.ill.store(ill, SeqCst);
    }

    /// From now on answers so many reads of videos and lets the others wait; none: answers all.
    pub fn give_videos(&self, left: Option<u32>) {
        self.illness.videos_left.send_replace(left);
    }

    /// Reads of a video so far: answered, and held back for a while.
    pub fn videos(&self) -> (u32, u32) {
        (self.illness.videos_read.load(SeqCst), self.illness.videos_held.load(SeqCst))
    }

    /// Reads of a video that wait now.
    pub fn videos_waiting(&self) -> u32 {
        self.illness.videos_waiting.load(SeqCst)
    }

    pub fn refused(&self) -> u32 {
        self.illness.refused.load(SeqCst)
    }
}

impl Illness {
    /// Waits until a read of a video may be answered.
    async fn video_turn(&self) {
        let taken = || {
            self.videos_left.send_if_modified(|left| match left {
                Some(0) => false,
                Some(left) => {
                    *left -= 1;
                    true
                }
                None => true,
            })
        };
        if !taken() {
            self.videos_waiting.fetch_add(1, SeqCst);
            let _waits = Waits(&self.videos_waiting);
            self.videos_held.fetch_add(1, SeqCst);
            let mut news = self.videos_left.subscribe();
            while !taken() {
                // The sender lives as long as this.
                let _ = news.changed().await;
            }
        }
        self.videos_read.fetch_add(1, SeqCst);
    }
}

async fn serve(listener: TcpListener, service: S3Service, illness: Arc<Illness>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (service, illness) = (service.clone(), Arc::clone(&illness));
        let answer = hyper::service::service_fn(move |request| {
            answer(service.clone(), Arc::clone(&illness), request)
        });
        tokio::spawn(async move {
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            // A killed client hangs up; that is the test's doing.
            let _ = builder.serve_connection(TokioIo::new(socket), answer).await;
        });
    }
}

async fn answer(
    service: S3Service,
    illness: Arc<Illness>,
    request: Request<Incoming>,
) -> Result<HttpResponse, HttpError> {
    if illness.ill.load(SeqCst) {
        illness.refused.fetch_add(1, SeqCst);
        let mut refusal = Response::new(Body::empty());
        *refusal.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        // What was not read of the request must not be taken for the next one.
        refusal.headers_mut().insert("connection", HeaderValue::from_static("close"));
        return Ok(refusal);
    }
    if request.method() == http::Method::GET && request.uri().path().ends_with("/output.mp4") {
        illness.video_turn().await;
    }
    let _alone = match request.headers().contains_key("if-none-match") {
        true => Some(illness.creating.lock().await),
        false => None,
    };
    hyper::service::Service::call(&service, request).await
}

fn sha256_of(file: &Path) -> String {
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    hex(&bytes)
}

/// As much of a PNG as it takes to know its size: a data URL, and its bytes.
fn picture() -> (String, Vec<u8>) {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(640_u32.to_be_bytes());
    bytes.extend(480_u32.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
    (format!("data:image/png;base64,{}", STANDARD.encode(&bytes)), bytes)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A stored job, seen from all three sides: the manifest, the bytes that the server keeps, and what
/// the provider billed.
fn check_stored(fleet: &Fleet, s3: &S3, record: &Record) {
    let manifest = fleet.verified_manifest(record);
    let billed = fleet.ledger().billed_to(record);
    assert_eq!(billed.len(), 1, "{billed:?}");
    assert_eq!(manifest.task_id, billed[0].task);
    let video = manifest.video().expect("a stored video");
    assert_eq!(video.output.sha256, billed[0].video_sha256);
    assert_eq!(sha256_of(&s3.file(&video.output.path)), billed[0].video_sha256);
    let frame = video.last_frame.as_ref().expect("a last frame");
    assert_eq!(Some(sha256_of(&s3.file(&frame.path))), billed[0].last_frame_sha256);
    let payload = std::fs::read(s3.file(&manifest.task.path)).unwrap();
    let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload["id"], billed[0].task.as_str(), "the provider's own words");
    let folder = Path::new(&manifest.task.path).ancestors().nth(2).unwrap();
    assert!(s3.file(&folder.join("manifest.json").to_string_lossy()).is_file());
}

// covers: M11, M13, M14
#[test]
fn videos_and_inline_media_lie_in_an_s3_bucket() {
    let s3 = S3::start();
    // Two parts and a bit, so that the copy is a multipart upload.
    let options = Options::default().config(&s3.config());
    let fleet = Fleet::start(options.simulator(&["--clip-bytes-min", "12000000"]));
    let (url, bytes) = picture();
    let frame = item("image_url", &url, "first_frame");
    let ids = [fleet.admit(text("a paper boat")), fleet.admit(text("it sails on").and(frame))];

    let media = s3.file(&format!("media/default/{}", hex(&bytes)));
    assert_eq!(std::fs::read(media).expect("kept before the job"), bytes);
    for record in fleet.wait_stored(&ids) {
        check_stored(&fleet, &s3, &record);
        let manifest = fleet.verified_manifest(&record);
        assert!(manifest.video().unwrap().output.length_bytes >= 12_000_000);
    }
    assert!(!fleet.logs().contains(SECRET));
    fleet.audit(&ids);
}

// covers: M24/download
#[test]
fn an_ill_bucket_makes_jobs_wait_and_fails_none() {
    let s3 = S3::start();
    let slow = "[download]\nretry_first = \"300ms\"\nretry_max = \"1s\"\n";
    let mut options = Options::default().config(&s3.config()).config(slow);
    options.roles = vec!["submitter", "poller"];
    let fleet = Fleet::start(options);
    let inline = item("image_url", &picture().0, "first_frame");
    let mut ids: Vec<JobId> = ["one", "two", "three"].map(|word| fleet.admit(text(word))).into();
    let framed = fleet.admit(text("inline").and(inline.clone()));
    ids.push(framed);
    for id in &ids {
        fleet.until("a task that is done", || {
            (fleet.record(id).life.state.word() == StateWord::Downloading).then_some(())
        });
    }

    s3.be_ill(true);
    // It starts all the same, and says at once what is wrong.
    let downloader = fleet.start_role("downloader");
    let complaint = downloader.wait_for_line("the bucket cannot be used", e2e::kit::BOUND);
    complaint.unwrap_or_else(|missing| panic!("{missing}"));
    // Every job has had a turn that failed, and none has gone anywhere.
    for id in &ids {
        fleet.until("a failed turn", || {
            fleet.timeline(id).iter().any(|line| line.contains("the bucket is ill")).then_some(())
        });
        assert_eq!(fleet.record(id).life.state.word(), StateWord::Downloading);
    }
    assert!(s3.refused() > 0);
    // A door that cannot keep an inline picture takes no job for it.
    let refusal = fleet.try_admit(text("too early").and(inline)).expect_err("nowhere to keep it");
    assert!(refusal.is_retryable(), "{refusal}");

    s3.be_ill(false);
    for record in fleet.wait_stored(&ids) {
        check_stored(&fleet, &s3, &record);
        assert_eq!(fleet.ledger().creates_of(&record), 1);
    }
    fleet.audit(&ids);
}

/// Every write takes longer than `fence.lead` and what a slot forgives together: the instant that Begin
/// gives away has to wait for its intent, or nobody would ever send.
// covers: M24/create-no-id
#[test]
fn a_bucket_that_is_always_slow_makes_jobs_slow_and_stops_none() {
    let s3 = S3::start();
    let line = TcpProxy::start(&s3.address.to_string());
    line.set(Line::Delay(Duration::from_millis(300)));
    let bucket = s3.config().replace(&s3.address.to_string(), &line.addr().to_string());
    let strict = "[limits]\nlead_max = \"1s\"\nuse_within = \"200ms\"\n";
    let fleet = Fleet::start(Options::default().config(&bucket).config(strict));
    let ids = fleet.admit_many((0..4).map(|n| text(&format!("a slow shelf {n}")).into()));
    for record in fleet.wait_stored(&ids) {
        assert_eq!(fleet.ledger().creates_of(&record), 1);
        assert!(!fleet.timeline(&record.id).iter().any(|line| line.starts_with("InDoubt")));
    }
    assert!(line.counts().delayed > 0);
    fleet.audit(&ids);
}
