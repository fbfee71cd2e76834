//! Opening a bucket by its URL.

use crate::error::explain;
use crate::writer::Spares;
use crate::{Error, Layout, Settings};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::signer::Signer;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Largest credential file read.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// An open bucket. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Assets {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) bucket: Arc<dyn ObjectStore>,
    /// What signs links; folders and memory cannot.
    pub(crate) signer: Option<Arc<dyn Signer>>,
    /// `s3://bucket/prefix`, `file:///srv/videos`: what people see before a path.
    root: String,
    /// Whether the backend stores a content type beside the bytes.
    pub(crate) takes_attributes: bool,
    pub(crate) layout: Layout,
    pub(crate) settings: Settings,
    pub(crate) spares: Spares,
}

impl std::fmt::Debug for Assets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Inner { bucket, root, takes_attributes, .. } = &*self.inner;
        f.debug_struct("Assets")
            .field("root", root)
            .field("takes_attributes", takes_attributes)
            .field("bucket", bucket)
            .finish_non_exhaustive()
    }
}

/// A backend, as what reads and writes and as what signs.
struct Opened {
    bucket: Arc<dyn ObjectStore>,
    signer: Option<Arc<dyn Signer>>,
}

/// A backend by the scheme of its URL.
enum Scheme<'a> {
    Local(&'a str),
    Memory,
    S3(Remote<'a>),
    Azure(Remote<'a>),
    Gcs(Remote<'a>),
}

struct Remote<'a> {
    bucket: &'a str,
    prefix: &'a str,
}

impl Assets {
    /// Opens the bucket named by `store.url`. Sends nothing: [`Assets::check`] does.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`]: one sentence per fault, naming the key to mend.
    pub fn open(settings: &Settings) -> Result<Self, Error> {
        let faults = settings.faults();
        if !faults.is_empty() {
            return Err(Error::Settings(faults.join("; ")));
        }
        let layout = Layout::parse(&settings.layout)?;
        let (Opened { bucket, signer }, root, takes_attributes) = match scheme(&settings.url)? {
            Scheme::Local(path) => {
                let (bucket, root) = open_local(path, settings.fsync)?;
                (Opened { bucket, signer: None }, root, false)
            }
            Scheme::Memory => {
                let bucket = Arc::new(InMemory::new());
                (Opened { bucket, signer: None }, "memory://".to_owned(), true)
            }
            Scheme::S3(remote) => (open_s3(&remote, settings)?, remote.root("s3"), true),
            Scheme::Azure(remote) => (open_azure(&remote, settings)?, remote.root("az"), true),
            Scheme::Gcs(remote) => (open_gcs(&remote, settings)?, remote.root("gs"), true),
        };
        let settings = settings.clone();
        let spares = Spares::default();
        let inner = Inner { bucket, signer, root, takes_attributes, layout, settings, spares };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The path template.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    /// Largest video accepted (`store.output_bytes_max`).
    #[must_use]
    pub fn output_bytes_max(&self) -> u64 {
        self.inner.settings.output_bytes_max
    }

    /// Bytes that leave memory together (`store.part_size_bytes`).
    #[must_use]
    pub fn part_size_bytes(&self) -> u64 {
        self.inner.settings.part_size_bytes
    }

    /// Largest last frame, payload or medium accepted (`store.small_object_bytes_max`).
    #[must_use]
    pub fn small_object_bytes_max(&self) -> u64 {
        self.inner.settings.small_object_bytes_max
    }

    /// Where the bucket is, for people: `s3://bucket/prefix`.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.inner.root
    }

    /// An object's full address, for people and exports: `s3://bucket/prefix/path`.
    #[must_use]
    pub fn address(&self, path: &str) -> String {
        format!("{}/{path}", self.inner.root)
    }
}

impl<'a> Remote<'a> {
    fn parse(scheme: &str, rest: &'a str) -> Result<Self, Error> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        if bucket.is_empty() || bucket.contains(['@', ':', '?', '#']) {
            return Err(Error::Settings(format!(
                "store.url: `{scheme}://` must be followed by a bucket name only; credentials and endpoints have keys of their own"
            )));
        }
        ObjectPath::parse(prefix)
            .map_err(|e| Error::Settings(format!("store.url: the prefix is not usable: {e}")))?;
        Ok(Self { bucket, prefix })
    }

    fn root(&self, scheme: &str) -> String {
        let Self { bucket, prefix } = self;
        let slash = if prefix.is_empty() { "" } else { "/" };
        format!("{scheme}://{bucket}{slash}{prefix}")
    }

    fn under_prefix<S: ObjectStore + Signer>(&self, store: S) -> Opened {
        if self.prefix.is_empty() {
            let store = Arc::new(store);
            Opened { bucket: Arc::clone(&store) as _, signer: Some(store) }
        } else {
            let store = Arc::new(PrefixStore::new(store, self.prefix));
            Opened { bucket: Arc::clone(&store) as _, signer: Some(store) }
        }
    }
}

fn scheme(url: &str) -> Result<Scheme<'_>, Error> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(Error::Settings(format!("store.url = `{url}`: expected {EXPECTED}")));
    };
    match scheme {
        "file" => Ok(Scheme::Local(rest)),
        "memory" => Ok(Scheme::Memory),
        "s3" => Remote::parse("s3", rest).map(Scheme::S3),
        "az" | "azure" => Remote::parse(scheme, rest).map(Scheme::Azure),
        "gs" => Remote::parse("gs", rest).map(Scheme::Gcs),
        other => Err(Error::Settings(format!(
            "store.url: unknown scheme `{other}`; expected {EXPECTED}"
        ))),
    }
}

const EXPECTED: &str = "file://./data, file:///absolute/path, s3://bucket/prefix, az://container/prefix or gs://bucket/prefix";

fn open_local(path: &str, fsync: bool) -> Result<(Arc<dyn ObjectStore>, String), Error> {
    // `file://data` would be a host named data to any other program, so the dot is required.
    if !(path.starts_with('/') || path == "." || path.starts_with("./") || path.starts_with("../"))
    {
        return Err(Error::Settings(format!(
            "store.url = `file://{path}`: write file://./{path} for a directory beside the working directory, or file:///{path} for an absolute one"
        )));
    }
    let fault = |what: &str, e: &dyn std::error::Error| {
        Error::Settings(format!("store.url = `file://{path}`: {what}: {}", explain(e)))
    };
    let directory = std::path::absolute(path).map_err(|e| fault("not a path", &e))?;
    create_directory(&directory, fsync).map_err(|e| fault("cannot create the directory", &e))?;
    let store = LocalFileSystem::new_with_prefix(&directory)
        .map_err(|e| fault("cannot open the directory", &e))?
        .with_fsync(fsync);
    let canonical = directory.canonicalize().map_err(|e| fault("cannot open the directory", &e))?;
    let root = format!("file://{}", canonical.display()).trim_end_matches('/').to_owned();
    Ok((Arc::new(store), root))
}

/// Creates a directory and its parents. A new directory is an entry in its parent, and only the
/// parent's flush makes it survive a power cut.
fn create_directory(directory: &Path, fsync: bool) -> std::io::Result<()> {
    let missing: Vec<PathBuf> = directory
        .ancestors()
        .take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists())
        .map(Path::to_path_buf)
        .collect();
    std::fs::create_dir_all(directory)?;
    if fsync {
        for created in missing.iter().rev() {
            if let Some(parent) = created.parent() {
                std::fs::File::open(parent)?.sync_all()?;
            }
        }
    }
    Ok(())
}

fn open_s3(remote: &Remote<'_>, settings: &Settings) -> Result<Opened, Error> {
    let s3 = &settings.s3;
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(remote.bucket)
        .with_retry(retry(settings))
        .with_virtual_hosted_style_request(s3.virtual_hosted_style)
        // One object is deleted at a time, and the bulk call is missing from some servers.
        .with_disable_bulk_delete(true)
        // The manifest's create-if-absent stands on it, so the environment cannot turn it off.
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    for (key, value) in client_options(settings) {
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
    }
    if s3.allow_http {
        builder = builder.with_allow_http(true);
    }
    if let Some(endpoint) = &s3.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &s3.region {
        builder = builder.with_region(region);
    }
    if let Some(id) = secret("store.s3.access_key_id_file", s3.access_key_id_file.as_deref())? {
        builder = builder.with_access_key_id(id);
    }
    let file = s3.secret_access_key_file.as_deref();
    if let Some(key) = secret("store.s3.secret_access_key_file", file)? {
        builder = builder.with_secret_access_key(key);
    }
    if let Some(token) = secret("store.s3.session_token_file", s3.session_token_file.as_deref())? {
        builder = builder.with_token(token);
    }
    Ok(remote.under_prefix(builder.build().map_err(|e| misfit("store.s3", &e))?))
}

fn open_azure(remote: &Remote<'_>, settings: &Settings) -> Result<Opened, Error> {
    let azure = &settings.azure;
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(remote.bucket)
        .with_retry(retry(settings));
    for (key, value) in client_options(settings) {
        builder = builder.with_config(AzureConfigKey::Client(key), value);
    }
    if azure.allow_http {
        builder = builder.with_allow_http(true);
    }
    if let Some(account) = &azure.account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = &azure.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    if let Some(key) = secret("store.azure.access_key_file", azure.access_key_file.as_deref())? {
        builder = builder.with_access_key(key);
    }
    Ok(remote.under_prefix(builder.build().map_err(|e| misfit("store.azure", &e))?))
}

fn open_gcs(remote: &Remote<'_>, settings: &Settings) -> Result<Opened, Error> {
    let gcs = &settings.gcs;
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(remote.bucket)
        .with_retry(retry(settings));
    for (key, value) in client_options(settings) {
        builder = builder.with_config(GoogleConfigKey::Client(key), value);
    }
    if gcs.allow_http {
        let key = GoogleConfigKey::Client(ClientConfigKey::AllowHttp);
        builder = builder.with_config(key, "true");
    }
    if let Some(endpoint) = &gcs.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    let file = gcs.service_account_file.as_deref();
    if let Some(json) = secret("store.gcs.service_account_file", file)? {
        builder = builder.with_service_account_key(json);
    }
    Ok(remote.under_prefix(builder.build().map_err(|e| misfit("store.gcs", &e))?))
}

/// Few and bounded: the worker's own retry comes after this one, and the two multiply.
fn retry(settings: &Settings) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: settings.retries_max,
        retry_timeout: settings.retry_for,
    }
}

fn client_options(settings: &Settings) -> [(ClientConfigKey, String); 2] {
    let text = |d: Duration| format!("{} ms", d.as_millis());
    [
        (ClientConfigKey::Timeout, text(settings.request_timeout)),
        (ClientConfigKey::ConnectTimeout, text(settings.connect_timeout)),
    ]
}

fn misfit(section: &str, error: &object_store::Error) -> Error {
    Error::Settings(format!("{section}: {}", explain(error)))
}

/// Reads a credential, without the line end editors leave. The text never enters an error.
fn secret(key: &str, file: Option<&Path>) -> Result<Option<String>, Error> {
    let Some(file) = file else { return Ok(None) };
    let fault = |why: String| Error::Settings(format!("{key} = {}: {why}", file.display()));
    let length_bytes = std::fs::metadata(file).map_err(|e| fault(e.to_string()))?.len();
    if length_bytes > SECRET_BYTES_MAX {
        return Err(fault(format!("larger than {SECRET_BYTES_MAX} bytes, so no credential")));
    }
    let text = std::fs::read_to_string(file).map_err(|e| fault(e.to_string()))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(fault("the file is empty".to_owned()));
    }
    Ok(Some(text.to_owned()))
}
