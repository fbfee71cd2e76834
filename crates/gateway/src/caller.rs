//! Who calls: found out once per request, by a key of the fleet or a configured one.
//!
//! A handler takes a [`Caller`] and asks it for the scope it needs; a route without one is open to all.
//! A key is looked up by its public id and compared by hash; what was found holds for [`known::HELD_FOR`],
//! so a revocation is heard by every gateway within that time.

mod failures;
mod known;
mod origin;
mod rate;

pub(crate) use rate::tell_rate;

use crate::app::App;
use crate::keys::Keys;
use crate::problem::Problem;
use crate::settings::GatewaySettings;
use access::{ANY_TENANT, KeyId, KeySpec, Mode, Presented, Scope, Sha256Hex, Unreadable, digest};
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use failures::Failures;
use known::Known;
pub(crate) use origin::Origin;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use store::FleetStore;

/// Longest `Authorization` value looked at, bytes.
const AUTHORIZATION_BYTES_MAX: usize = 512;

/// Who asks for something.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The key's public id; none for a configured key.
    pub(crate) key: Option<KeyId>,
    /// The key's name.
    pub(crate) name: String,
    /// For whom it speaks; [`ANY_TENANT`] for the fleet's operators.
    pub(crate) tenant: String,
    /// Which pools it reaches; none for a configured key that does not say: those of its tenant's jobs.
    pub(crate) mode: Option<Mode>,
    /// What it may do.
    pub(crate) scopes: Vec<Scope>,
    /// Where the request came from.
    pub(crate) source: IpAddr,
    /// What a session keeps of the key, to ask anew with every request what it may do.
    pub(crate) proof: String,
}

impl Caller {
    /// Whether the caller may do what it asks.
    pub(crate) fn needs(&self, scope: Scope) -> Result<(), Problem> {
        if scope.is_in(&self.scopes) { Ok(()) } else { Err(Problem::forbidden(scope)) }
    }

    /// Whether a tenant's things may be seen; those of others are as good as not there.
    pub(crate) fn speaks_for(&self, tenant: &str) -> bool {
        self.tenant == ANY_TENANT || self.tenant == tenant
    }

    /// Whether a key is within what this one may make, rotate and end. A test key that could hand out a
    /// live one would be a live one.
    pub(crate) fn manages(&self, spec: &KeySpec) -> bool {
        self.speaks_for(&spec.tenant) && (self.mode != Some(Mode::Test) || spec.mode == Mode::Test)
    }

    /// The tenant that makes something new. An operator's key makes nothing: it belongs to nobody.
    pub(crate) fn own_tenant(&self) -> Result<&str, Problem> {
        if self.tenant == ANY_TENANT {
            let title =
                "a key of tenant * belongs to no tenant: use a key of the tenant this is for";
            return Err(Problem::new(StatusCode::FORBIDDEN, "tenant-needed", title));
        }
        Ok(&self.tenant)
    }

    /// Whether a pool is within reach.
    pub(crate) fn reaches(&self, simulated: bool) -> bool {
        self.mode.is_none_or(|mode| mode == Mode::of_pool(simulated))
    }
}

/// Finds out who calls.
pub(crate) struct Callers {
    configured: Keys,
    known: Known,
    failures: Failures,
    origin: Origin,
    fleet: FleetStore,
}

impl Callers {
    pub(crate) fn new(settings: &GatewaySettings, configured: Keys, fleet: FleetStore) -> Self {
        Self {
            configured,
            known: Known::new(fleet.clone()),
            failures: Failures::new(settings.auth_failures_rpm),
            origin: Origin::new(settings.trusted_proxies.clone()),
            fleet,
        }
    }

    /// The memory of the fleet.
    pub(crate) const fn fleet(&self) -> &FleetStore {
        &self.fleet
    }

    /// Where a request comes from.
    pub(crate) const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The caller whose key a session remembers; none: it has ended.
    pub(crate) async fn again(
        &self,
        proof: &str,
        source: IpAddr,
    ) -> Result<Option<Caller>, Problem> {
        match proof.split_once('.') {
            None => {
                Ok(Sha256Hex::parse(proof).and_then(|sha256| self.configured.of(&sha256, source)))
            }
            Some((id, sha256)) => match (KeyId::parse(id), Sha256Hex::parse(sha256)) {
                (Ok(id), Some(sha256)) => self.known.caller(&id, &sha256, source).await,
                (Ok(_) | Err(_), _) => Ok(None),
            },
        }
    }

    /// The caller with this key, from this address. Failures of one source are counted, and past a limit
    /// nothing of it is hashed or looked up until the minute is over.
    pub(crate) async fn with_key(&self, key: &str, source: IpAddr) -> Result<Caller, Problem> {
        if let Some(wait) = self.failures.wait(source) {
            let title = "too many requests with a wrong key from this address";
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-failures", title);
            return Err(problem.retry_after(wait));
        }
        let found = match Presented::read(key) {
            Ok(Presented { id, sha256, .. }) => self.known.caller(&id, &sha256, source).await?,
            Err(Unreadable::OtherForm) => self.configured.of(&digest(key), source),
            Err(Unreadable::Damaged) => None,
        };
        found.ok_or_else(|| {
            self.failures.count(source);
            tracing::debug!(%source, "a request with a wrong key");
            Problem::unauthorized()
        })
    }
}

/// The key of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)
        .filter(|value| value.len() <= AUTHORIZATION_BYTES_MAX)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(str::trim)
        .filter(|key| !key.is_empty())
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(caller.clone());
        }
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |info| info.0.ip());
        let source = app.callers.origin().of(peer, &parts.headers);
        let key = bearer(&parts.headers).ok_or_else(Problem::unauthorized)?;
        let caller = app.callers.with_key(key, source).await?;
        rate::count(app, &caller, &parts.extensions).await?;
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(tenant: &str, mode: Option<Mode>, scopes: &[Scope]) -> Caller {
        Caller {
            key: None,
            name: "a".into(),
            tenant: tenant.into(),
            mode,
            scopes: scopes.to_vec(),
            source: [127, 0, 0, 1].into(),
            proof: String::new(),
        }
    }

    #[test]
    fn a_key_opens_what_its_scopes_say() {
        let reader = caller("acme", None, &[Scope::JobsRead]);
        assert!(reader.needs(Scope::JobsRead).is_ok());
        assert_eq!(reader.needs(Scope::JobsWrite).unwrap_err().status(), 403);
        assert!(caller("acme", None, &[Scope::Admin]).needs(Scope::Review).is_ok());
    }

    #[test]
    fn an_operator_speaks_for_all_and_makes_nothing() {
        let operator = caller(ANY_TENANT, Some(Mode::Live), &[Scope::Admin]);
        assert!(operator.speaks_for("acme") && !caller("bob", None, &[]).speaks_for("acme"));
        assert_eq!(operator.own_tenant().unwrap_err().status(), 403);
        assert!(operator.reaches(false) && !operator.reaches(true));
        assert!(caller("a", None, &[]).reaches(true) && caller("a", None, &[]).reaches(false));
    }

    #[test]
    fn a_key_stands_behind_the_word_bearer() {
        let with =
            |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        assert_eq!(bearer(&with("Bearer a-key ")), Some("a-key"));
        for bad in ["a-key", "Basic a-key", "Bearer ", "bearer a-key"] {
            assert_eq!(bearer(&with(bad)), None, "{bad}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
        assert_eq!(bearer(&with(&format!("Bearer {}", "x".repeat(600)))), None);
    }
}
