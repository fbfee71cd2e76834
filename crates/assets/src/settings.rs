//! The `store` section of the configuration.

use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// One MiB.
const MIB: u64 = 1 << 20;

/// Smallest part S3 and its kin take for all parts but the last.
pub(crate) const PART_BYTES_MIN: u64 = 5 * MIB;
/// Largest part worth holding in memory.
pub(crate) const PART_BYTES_MAX: u64 = 512 * MIB;
/// Most parts of one multipart upload on S3.
pub(crate) const PARTS_MAX: u64 = 10_000;

/// Where results are kept and how they are written. Section `store` (interfaces §1.8).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `file://./data` (relative to the working directory), `file:///srv/videos`,
    /// `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/prefix`, or `memory:///` for tests.
    pub url: String,
    /// Path template of a job's folder: `{tenant} {yyyy} {mm} {dd} {job_id}`, dates in UTC by the
    /// job's creation.
    pub layout: String,
    /// Local files only: flush files and directories before a write counts as done.
    pub fsync: bool,
    /// Size of one part of a streamed copy. A copy holds this times (`parts_in_flight_max` + 1).
    pub part_size_bytes: u64,
    /// Parts of one copy that may be on their way at once.
    pub parts_in_flight_max: usize,
    /// Largest video accepted.
    pub output_bytes_max: u64,
    /// Largest last frame, provider payload or inline medium accepted.
    pub small_object_bytes_max: u64,
    /// Tries after the first for one bucket request; all within `retry_for`.
    pub retries_max: usize,
    /// Time from the first try after which a bucket request is not tried again.
    #[serde(with = "humantime_serde")]
    pub retry_for: Duration,
    /// Time for one bucket request, its body included.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// Time to reach the bucket's host.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// For `s3://`.
    pub s3: S3Settings,
    /// For `az://`.
    pub azure: AzureSettings,
    /// For `gs://`.
    pub gcs: GcsSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: "file://./data".to_owned(),
            layout: "{tenant}/{yyyy}/{mm}/{dd}/{job_id}/".to_owned(),
            fsync: true,
            part_size_bytes: 8 * MIB,
            parts_in_flight_max: 2,
            output_bytes_max: 4096 * MIB,
            small_object_bytes_max: 64 * MIB,
            retries_max: 3,
            retry_for: Duration::from_secs(20),
            request_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            s3: S3Settings::default(),
            azure: AzureSettings::default(),
            gcs: GcsSettings::default(),
        }
    }
}

/// S3 and servers that speak its protocol. What is unset comes from the usual `AWS_…` environment,
/// web identity or the machine's role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Settings {
    /// Base URL of another server than Amazon's.
    #[serde(deserialize_with = "unset_if_empty")]
    pub endpoint: Option<String>,
    /// Region, which is part of the signature.
    #[serde(deserialize_with = "unset_if_empty")]
    pub region: Option<String>,
    /// Allows an `http://` endpoint. Off, so that credentials never cross a wire in the clear by accident.
    pub allow_http: bool,
    /// Bucket in the host name (`bucket.host`) and not in the path.
    pub virtual_hosted_style: bool,
    /// File with the access key id.
    #[serde(deserialize_with = "unset_if_empty")]
    pub access_key_id_file: Option<PathBuf>,
    /// File with the secret access key.
    #[serde(deserialize_with = "unset_if_empty")]
    pub secret_access_key_file: Option<PathBuf>,
    /// File with a session token, for temporary keys.
    #[serde(deserialize_with = "unset_if_empty")]
    pub session_token_file: Option<PathBuf>,
}

/// Azure Blob Storage. What is unset comes from the usual `AZURE_…` environment or managed identity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AzureSettings {
    /// Storage account name.
    #[serde(deserialize_with = "unset_if_empty")]
    pub account: Option<String>,
    /// Base URL of another server than Microsoft's.
    #[serde(deserialize_with = "unset_if_empty")]
    pub endpoint: Option<String>,
    /// Allows an `http://` endpoint.
    pub allow_http: bool,
    /// File with the account's access key.
    #[serde(deserialize_with = "unset_if_empty")]
    pub access_key_file: Option<PathBuf>,
}

/// Google Cloud Storage. What is unset comes from the usual `GOOGLE_…` environment or workload identity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GcsSettings {
    /// Base URL of another server than Google's.
    #[serde(deserialize_with = "unset_if_empty")]
    pub endpoint: Option<String>,
    /// Allows an `http://` endpoint.
    pub allow_http: bool,
    /// File with a service account's JSON key.
    #[serde(deserialize_with = "unset_if_empty")]
    pub service_account_file: Option<PathBuf>,
}

/// The annotated defaults name every key, so an optional one stands there as an empty text.
fn unset_if_empty<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: From<String>,
{
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(T::from))
}

impl Settings {
    /// Checks the numbers against each other.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !(PART_BYTES_MIN..=PART_BYTES_MAX).contains(&self.part_size_bytes) {
            faults.push(format!(
                "store.part_size_bytes = {}: must lie between {PART_BYTES_MIN} and {PART_BYTES_MAX}",
                self.part_size_bytes
            ));
        }
        if !(1..=16).contains(&self.parts_in_flight_max) {
            faults.push(format!(
                "store.parts_in_flight_max = {}: must lie between 1 and 16",
                self.parts_in_flight_max
            ));
        }
        let reach = self.part_size_bytes.saturating_mul(PARTS_MAX);
        if self.output_bytes_max > reach {
            faults.push(format!(
                "store.output_bytes_max = {}: {PARTS_MAX} parts of store.part_size_bytes reach only {reach}",
                self.output_bytes_max
            ));
        }
        if self.retries_max > 10 {
            faults.push(format!("store.retries_max = {}: must not pass 10", self.retries_max));
        }
        faults
    }
}
