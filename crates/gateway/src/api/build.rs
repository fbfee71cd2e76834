//! Routes and their descriptions, held together: path, method and query parameters are read from the
//! description, so what is not described is not served.

use super::document;
use super::query::{self, Known};
use crate::app::App;
use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tower_http::timeout::TimeoutLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::UtoipaMethodRouter;

/// Stands before a verb inside the router, which wants whole segments: `{id}:cancel` is routed as
/// `{id}/@cancel`. No address that a caller sends holds it.
const VERB: &str = "/@";
/// Longest word after the colon.
const VERB_BYTES_MAX: usize = 32;

/// Described routes of one gateway.
pub(crate) struct Api {
    paths: BTreeMap<String, MethodRouter<Arc<App>>>,
    document: OpenApi,
}

impl Api {
    pub(crate) fn new() -> Self {
        Self { paths: BTreeMap::new(), document: document::head() }
    }

    /// Adds operations of one path: `.routes(routes!(list, create))`. Each has a minute.
    pub(crate) fn routes(self, described: UtoipaMethodRouter<Arc<App>>) -> Self {
        const TIME_MAX: Duration = Duration::from_secs(60);
        let late = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIME_MAX);
        let (schemas, paths, methods) = described;
        self.streams((schemas, paths, methods.route_layer(late)))
    }

    /// The same for operations that read or write a stream of any length and bound it themselves.
    pub(crate) fn streams(mut self, described: UtoipaMethodRouter<Arc<App>>) -> Self {
        let (schemas, paths, methods) = described;
        assert_eq!(paths.paths.len(), 1, "one path at a time: its methods share a router");
        for (path, item) in paths.paths {
            let known = Arc::new(Known::of(&item));
            let methods = methods.clone().route_layer(from_fn_with_state(known, query::guard));
            let standing = self.paths.remove(&path).unwrap_or_default();
            self.paths.insert(path.clone(), standing.merge(methods));
            match self.document.paths.paths.get_mut(&path) {
                Some(standing) => standing.merge_operations(item),
                None => drop(self.document.paths.paths.insert(path, item)),
            }
        }
        let components = self.document.components.get_or_insert_default();
        components.schemas.extend(schemas);
        self
    }

    /// The document and the router it describes.
    pub(crate) fn finish(self) -> (serde_json::Value, Router<Arc<App>>) {
        let mut router = Router::new();
        for (path, methods) in self.paths {
            let inner = inner_path(&path).unwrap_or(path);
            router = router.route(&inner, methods);
        }
        (document::finish(self.document), router)
    }
}

/// Where `…/{id}:verb` and `…/jobs:bulk` stand in the router; `None` for a path without a verb.
fn inner_path(path: &str) -> Option<String> {
    let (before, last) = path.rsplit_once('/')?;
    let encoded = last.rfind("%3A").max(last.rfind("%3a"));
    let (at, width) = match (last.rfind(':'), encoded) {
        (Some(plain), encoded) if encoded.is_none_or(|encoded| plain > encoded) => (plain, 1),
        (_, Some(encoded)) => (encoded, 3),
        (_, None) => return None,
    };
    let (name, verb) = (&last[..at], &last[at + width..]);
    let is_verb = |verb: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b == b'-';
        (1..=VERB_BYTES_MAX).contains(&verb.len()) && verb.bytes().all(plain)
    };
    (!name.is_empty() && is_verb(verb)).then(|| format!("{before}/{name}{VERB}{verb}"))
}

/// The route a request was sent to, as the document writes it.
pub(crate) fn outer_path(matched: &str) -> String {
    matched.replace(VERB, ":")
}

/// Brings a request's verb where the router looks for it. Runs before the router.
pub(crate) fn find_verb(mut request: Request) -> Request {
    let path = request.uri().path();
    // Nobody spells our inner paths: such an address leads nowhere.
    let inner = if path.contains(VERB) { Some("/@".to_owned()) } else { inner_path(path) };
    if let Some(inner) = inner {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut parts = request.uri().clone().into_parts();
        if let Ok(target) = format!("{inner}{query}").parse() {
            parts.path_and_query = Some(target);
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_is_what_stands_behind_the_last_colon() {
        let at = |path: &str| inner_path(path);
        assert_eq!(at("/v1/jobs/{id}:cancel").as_deref(), Some("/v1/jobs/{id}/@cancel"));
        assert_eq!(at("/v1/jobs/a%3Acancel").as_deref(), Some("/v1/jobs/a/@cancel"));
        assert_eq!(at("/v1/jobs:bulk").as_deref(), Some("/v1/jobs/@bulk"));
        assert_eq!(at("/v1/jobs/a:b:retry").as_deref(), Some("/v1/jobs/a:b/@retry"));
        for plain in ["/v1/jobs", "/v1/jobs/a:", "/v1/jobs/:cancel", "/v1/jobs/a:B", "/", ""] {
            assert_eq!(at(plain), None, "{plain}");
        }
    }

    #[test]
    fn nobody_spells_an_inner_path() {
        let asked = |path: &str| {
            let request = Request::builder().uri(path).body(axum::body::Body::empty()).unwrap();
            find_verb(request).uri().to_string()
        };
        assert_eq!(asked("/v1/jobs/x:cancel?a=1"), "/v1/jobs/x/@cancel?a=1");
        assert_eq!(asked("/v1/jobs/x/@cancel"), "/@");
        assert_eq!(outer_path("/v1/jobs/{id}/@cancel"), "/v1/jobs/{id}:cancel");
    }
}
