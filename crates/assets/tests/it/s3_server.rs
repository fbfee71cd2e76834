//! A real S3 server in this process, on a free port, with two things of Amazon's added that the
//! file-backed server lacks (create-if-absent that is atomic) or that tests need (lost replies,
//! refused parts, counters).

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError, HttpResponse};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

pub const BUCKET: &str = "videos";
pub const KEY_ID: &str = "AKIDEXAMPLE";
pub const SECRET: &str = "not-a-secret";

#[derive(Default)]
pub struct Watch {
    /// Replies to effective create-if-absents still to be lost.
    pub lose_create_replies: AtomicUsize,
    /// Parts still to be let through before all are refused; `usize::MAX` refuses none.
    pub parts_allowed: AtomicUsize,
    /// When not zero, every write is refused as forbidden.
    pub read_only: AtomicUsize,
    /// When not zero, `If-None-Match` is ignored, as some servers do.
    pub ignore_conditions: AtomicUsize,
    pub parts_running: AtomicUsize,
    pub parts_running_max: AtomicUsize,
    pub parts_stored: AtomicUsize,
    pub uploads_aborted: AtomicUsize,
    pub creates_seen: AtomicUsize,
    creating: Mutex<()>,
}

pub struct S3Server {
    pub address: SocketAddr,
    pub watch: Arc<Watch>,
}

impl S3Server {
    pub async fn start(root: &Path) -> Self {
        std::fs::create_dir_all(root.join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let service = builder.build();
        let watch = Arc::new(Watch { parts_allowed: usize::MAX.into(), ..Watch::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = watch.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (service, watch) = (service.clone(), seen.clone());
                let answer = hyper::service::service_fn(move |request| {
                    answer(service.clone(), watch.clone(), request)
                });
                tokio::spawn(async move {
                    let builder =
                        hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    // A client that hangs up is its own affair.
                    let _ = builder.serve_connection(TokioIo::new(socket), answer).await;
                });
            }
        });
        Self { address, watch }
    }
}

async fn answer(
    service: S3Service,
    watch: Arc<Watch>,
    request: Request<Incoming>,
) -> Result<HttpResponse, HttpError> {
    // The file-backed server would make any bucket that is named.
    if request.uri().path().split('/').nth(1) != Some(BUCKET) {
        return Ok(refusal(StatusCode::NOT_FOUND));
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let is_put = request.method() == Method::PUT;
    if watch.read_only.load(SeqCst) > 0 && request.method() != Method::GET {
        return Ok(refusal(StatusCode::FORBIDDEN));
    }
    if is_put && request.headers().contains_key("if-none-match") {
        watch.creates_seen.fetch_add(1, SeqCst);
        let _alone = watch.creating.lock().await;
        let response = call(&service, request).await?;
        if watch.ignore_conditions.load(SeqCst) > 0
            && response.status() == StatusCode::PRECONDITION_FAILED
        {
            let mut stored = refusal(StatusCode::OK);
            stored.headers_mut().insert("etag", http::HeaderValue::from_static("\"1\""));
            return Ok(stored);
        }
        let lose = &watch.lose_create_replies;
        if response.status().is_success()
            && lose.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok()
        {
            return Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR));
        }
        return Ok(response);
    }
    if is_put && query.contains("partNumber=") {
        if watch.parts_allowed.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_err() {
            return Ok(refusal(StatusCode::FORBIDDEN));
        }
        let running = watch.parts_running.fetch_add(1, SeqCst) + 1;
        watch.parts_running_max.fetch_max(running, SeqCst);
        let response = call(&service, request).await;
        watch.parts_running.fetch_sub(1, SeqCst);
        watch.parts_stored.fetch_add(1, SeqCst);
        return response;
    }
    let is_abort = request.method() == Method::DELETE && query.contains("uploadId=");
    let response = call(&service, request).await?;
    if is_abort && response.status().is_success() {
        watch.uploads_aborted.fetch_add(1, SeqCst);
    }
    Ok(response)
}

async fn call(service: &S3Service, request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
    hyper::service::Service::call(service, request).await
}

fn refusal(status: StatusCode) -> HttpResponse {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
