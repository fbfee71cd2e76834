//! The address a job names for its own news: whether it may be called, and whether its secret is known.

use crate::codes;
use job::Webhook;
use seedance::Fault;
use store::{Store, StoreError};
use url::Url;

/// What is wrong with the address, as far as its text tells; `origins`: those an operator allows.
pub(crate) fn url_fault(at: &str, text: &str, origins: &[String]) -> Option<Fault> {
    let allowed = "an https:// address without user and password";
    let fault = |code, message, fix| Some(Fault::new(at, code, message, fix).allowing(allowed));
    let Ok(url) = Url::parse(text) else {
        return fault(codes::URL_INVALID, "this is not an absolute address", "write it in full");
    };
    let named = |origin: &String| Url::parse(origin).is_ok_and(|o| o.origin() == url.origin());
    if url.scheme() != "https" && !origins.iter().any(named) {
        return fault(codes::URL_SCHEME, "news goes out over https only", "use https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        let fix = "take them out; name a secret in \"secret_ref\"";
        return fault(codes::URL_INVALID, "the address holds a user or a password", fix);
    }
    None
}

/// A webhook is signed by an endpoint's secrets: one that names none, or one nobody knows, could never be
/// told from a forgery.
pub(crate) async fn secret_fault(
    store: &Store,
    tenant: &str,
    hook: &Webhook,
) -> Result<Option<Fault>, StoreError> {
    let at = "/webhook/secret_ref";
    let fix = "make an endpoint with POST /v1/webhook-endpoints and name its id";
    let Some(named) = &hook.secret_ref else {
        let message = "the webhook names no secret that signs what is told";
        return Ok(Some(Fault::new(at, codes::MISSING_FIELD, message, fix)));
    };
    let known = store.endpoint(named, tenant).await?.is_some();
    let message = "this tenant has no webhook endpoint of this id";
    Ok((!known).then(|| Fault::new(at, codes::VALUE_NOT_ALLOWED, message, fix)))
}
