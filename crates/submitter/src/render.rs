//! The body of a create, with inline media fetched from the bucket.

use assets::Assets;
use bytes::Bytes;
use job::Record;
use seedance::{ContentItem, Envelope, MediaSource};
use std::collections::BTreeMap;

/// Why there is no body. Nothing was sent and no attempt was begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoBody {
    /// The bucket did not answer, or the bytes are not there.
    #[error("inline media cannot be read from the bucket: {0}")]
    Bucket(#[from] assets::Error),
    /// The bytes changed.
    #[error(transparent)]
    Media(#[from] seedance::MissingMedia),
}

/// Renders the body. Deterministic: the same record and envelope give the same bytes.
pub(crate) async fn body(
    record: &Record,
    envelope: &Envelope,
    assets: &Assets,
) -> Result<Bytes, NoBody> {
    let request = &record.spec.request;
    let mut inline = BTreeMap::new();
    for source in request.content.iter().filter_map(ContentItem::source) {
        match source {
            MediaSource::Inline { sha256, .. } => {
                let bytes = assets.get_media(&record.spec.tenant, sha256).await?;
                inline.insert(sha256.clone(), bytes);
            }
            MediaSource::Url(_) | MediaSource::Asset(_) => {}
        }
    }
    let find = |sha256: &str| inline.get(sha256).map(|bytes| bytes.to_vec());
    Ok(Bytes::from(request.wire_body(envelope, &find)?))
}
