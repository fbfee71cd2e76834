//! Who looks: a cookie, a session in Redis, and the key behind it, asked anew with every request.

use super::answer::{COOKIE, Shown, Trouble};
use super::sight;
use crate::app::App;
use crate::caller::Caller;
use crate::settings::{GatewaySettings, Scope};
use access::{ANY_TENANT, Mode, digest};
use axum::extract::{ConnectInfo, Form, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use dashboard::{PREFIX, Role, Viewer, screens};
use limiter::Flood;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use store::{FleetStore, Session};
use subtle::ConstantTimeEq;

/// Holds what opens the session; sent to our pages only.
const SESSION_COOKIE: &str = "seedfleet_session";
/// Holds what the login form must carry.
const DOOR_COOKIE: &str = "seedfleet_door";
/// Tries to log in, of one address and of all, in a minute.
const TRIES_PER_MINUTE: u32 = 10;
const ALL_TRIES_PER_MINUTE: u32 = 120;
/// Longest `Cookie` header looked at, bytes.
const COOKIE_BYTES_MAX: usize = 4_096;

/// What the dashboard knows of its visitors.
pub(crate) struct Visits {
    fleet: FleetStore,
    lasts: Duration,
    /// The browser reaches us by https, so the cookie need never travel otherwise.
    secure: bool,
    tries: Flood<IpAddr>,
    all_tries: Flood<()>,
}

impl Visits {
    pub(crate) fn open(fleet: FleetStore, settings: &GatewaySettings) -> Self {
        let minute = Duration::from_secs(60);
        Self {
            fleet,
            lasts: settings.session,
            secure: settings.public_url.starts_with("https://"),
            tries: Flood::new(TRIES_PER_MINUTE, minute),
            all_tries: Flood::new(ALL_TRIES_PER_MINUTE, minute),
        }
    }

    /// Whether somebody at this address may try a key.
    pub(super) fn may_try(&self, from: IpAddr) -> bool {
        self.tries.passes(&from) && self.all_tries.passes(&())
    }

    /// Opens a session; the cookie that holds it.
    pub(super) async fn begin(&self, caller: &Caller) -> Result<HeaderValue, Trouble> {
        let (token, csrf) = (drawn(), drawn());
        let session = Session { key: caller.proof.clone(), csrf };
        self.fleet.open_session(digest(&token).hex(), &session, self.lasts).await?;
        Ok(self.cookie(SESSION_COOKIE, &token, PREFIX, self.lasts.as_secs()))
    }

    /// Ends it; the cookie that takes the other away.
    pub(super) async fn end(&self, id: &str) -> Result<HeaderValue, Trouble> {
        self.fleet.end_session(id).await?;
        Ok(self.cookie(SESSION_COOKIE, "", PREFIX, 0))
    }

    /// A token for the login form, and its cookie.
    pub(super) fn door(&self) -> (String, HeaderValue) {
        let token = drawn();
        let cookie = self.cookie(DOOR_COOKIE, &token, &format!("{PREFIX}/login"), 3_600);
        (token, cookie)
    }

    fn cookie(&self, name: &str, value: &str, path: &str, lasts_s: u64) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!(
            "{name}={value}; Path={path}; Max-Age={lasts_s}; HttpOnly; SameSite=Strict{secure}"
        );
        HeaderValue::from_str(&text).expect("hex digits and our own words")
    }
}

/// 32 bytes nobody can guess, in hex.
fn drawn() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

pub(super) fn equal(a: &str, b: &str) -> bool {
    !a.is_empty() && bool::from(a.as_bytes().ct_eq(b.as_bytes()))
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let fields = headers.get_all(header::COOKIE).iter();
    let fields = fields.filter(|value| value.len() <= COOKIE_BYTES_MAX);
    let mut pairs = fields.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

/// What the cookie of the login form holds.
pub(super) fn door_token(headers: &HeaderMap) -> String {
    cookie(headers, DOOR_COOKIE).unwrap_or_default()
}

/// What a key may do here; `None` if not even look.
pub(super) fn role(caller: &Caller) -> Option<Role> {
    let may = |scope: Scope| scope.is_in(&caller.scopes);
    if !may(Scope::JobsRead) {
        return None;
    }
    let whole_fleet = caller.tenant == ANY_TENANT;
    Some(match (may(Scope::Admin), may(Scope::JobsWrite), may(Scope::Review)) {
        (true, _, _) if whole_fleet => Role::Admin,
        (true, _, _) | (false, true, _) => Role::Operator,
        (false, false, true) => Role::Reviewer,
        (false, false, false) => Role::Viewer,
    })
}

/// A logged-in person.
pub(super) struct Visitor {
    pub(super) viewer: Viewer,
    /// Under which the session lies in Redis.
    pub(super) session: String,
}

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Trouble> {
        let visits = app.visits()?;
        let next = match parts.method {
            Method::GET => parts.uri.path_and_query().map_or("", |path| path.as_str()),
            // A form is not sent again from another page.
            _ => "",
        };
        let log_in = || Trouble::log_in(&format!("{PREFIX}{next}"));
        let token = cookie(&parts.headers, SESSION_COOKIE).ok_or_else(log_in)?;
        let id = digest(&token).hex().to_owned();
        let session = visits.fleet.session(&id).await?.ok_or_else(log_in)?;
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |info| info.0.ip());
        let from = app.callers.origin().of(peer, &parts.headers);
        let key = app.callers.again(&session.key, from).await;
        let key = key.ok().flatten().ok_or_else(log_in)?;
        let role = role(&key).ok_or_else(log_in)?;
        let mut viewer = Viewer {
            name: key.name.clone(),
            tenant: (key.tenant != ANY_TENANT).then(|| key.tenant.clone()),
            simulated: key.mode.map(|mode| mode == Mode::Test),
            role,
            in_doubt: 0,
            csrf: session.csrf,
        };
        // Told beside every screen; a form shows none.
        if parts.method == Method::GET {
            viewer.in_doubt = in_doubt(app, &viewer).await?;
        }
        Ok(Self { viewer, session: id })
    }
}

/// A person who may see no pool sees no doubt, and is told so by the screen.
async fn in_doubt(app: &App, viewer: &Viewer) -> Result<u64, Trouble> {
    let Ok(doors) = sight::pools(app, viewer) else { return Ok(0) };
    let counts = sight::counts(&doors, viewer).await?;
    Ok(counts.into_iter().filter(|(word, _)| word.is_in_doubt()).map(|(_, n)| n).sum())
}

impl Visitor {
    /// Turns away who may not do what the form asks for.
    pub(super) fn needs(&self, may: fn(Role) -> bool, scope: Scope) -> Result<(), Trouble> {
        if may(self.viewer.role) {
            return Ok(());
        }
        let needs = scope.word();
        Err(Trouble::forbidden(&format!("The key you logged in with lacks {needs}.")))
    }
}

/// The fields of a form.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The first value of a field; empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value.trim())
    }

    /// The reason, if one worth keeping was given.
    pub(super) fn reason(&self) -> Option<String> {
        let reason: String = self.get("reason").chars().take(screens::REASON_LETTERS_MAX).collect();
        (!reason.is_empty()).then_some(reason)
    }

    /// The reason of a deed that is not done without one.
    pub(super) fn needed_reason(&self) -> Result<String, Trouble> {
        self.reason().ok_or_else(|| Trouble::refused("A reason is needed. Go back and give one."))
    }

    async fn read(request: Request) -> Result<Self, Trouble> {
        let Form(fields) = Form::<Vec<(String, String)>>::from_request(request, &())
            .await
            .map_err(|_| Trouble::refused("The form cannot be read. Go back and send it again."))?;
        Ok(Self(fields))
    }
}

/// A form that changes jobs: sent by a person who may, from a page of ours.
pub(super) struct Deed {
    pub(super) visitor: Visitor,
    pub(super) form: Fields,
}

impl FromRequest<Arc<App>> for Deed {
    type Rejection = Trouble;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Trouble> {
        let Signed { visitor, form } = Signed::from_request(request, app).await?;
        visitor.needs(Role::acts, Scope::JobsWrite)?;
        Ok(Self { visitor, form })
    }
}

/// A form of a logged-in person, whatever they may do.
pub(super) struct Signed {
    pub(super) visitor: Visitor,
    pub(super) form: Fields,
}

impl FromRequest<Arc<App>> for Signed {
    type Rejection = Trouble;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Trouble> {
        let (mut parts, body) = request.into_parts();
        from_here(&parts.headers)?;
        let visitor = Visitor::from_request_parts(&mut parts, app).await?;
        let form = Fields::read(Request::from_parts(parts, body)).await?;
        if !equal(form.get("csrf"), &visitor.viewer.csrf) {
            return Err(Trouble::forbidden(
                "The form does not carry this session’s token. Reload the page and send it again.",
            ));
        }
        Ok(Self { visitor, form })
    }
}

/// A browser says where a form was sent from; others need not.
fn from_here(headers: &HeaderMap) -> Result<(), Trouble> {
    let told = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    match told {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) => Err(Trouble::forbidden("The form was sent from another site.")),
    }
}

/// The login form, which has no session yet.
pub(super) async fn unsigned(request: Request) -> Result<(HeaderMap, Fields), Trouble> {
    let headers = request.headers().clone();
    from_here(&headers)?;
    Ok((headers, Fields::read(request).await?))
}

/// Puts a cookie on an answer.
pub(super) fn with_cookie(mut response: Response, cookie: HeaderValue) -> Shown {
    response.headers_mut().append(COOKIE, cookie);
    Ok(response)
}

impl App {
    /// What the dashboard knows of its visitors; a gateway without a dashboard has no such routes.
    pub(super) fn visits(&self) -> Result<&Visits, Trouble> {
        self.visits.as_ref().ok_or_else(|| {
            Trouble::new(
                StatusCode::NOT_FOUND,
                "There is no dashboard",
                "gateway.dashboard is off.",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_and_not_by_a_part_of_its_name() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            "a=1; xseedfleet_session=no; seedfleet_session=yes".parse().unwrap(),
        );
        assert_eq!(cookie(&headers, SESSION_COOKIE).as_deref(), Some("yes"));
        assert_eq!(cookie(&headers, DOOR_COOKIE), None);
        assert_eq!(cookie(&HeaderMap::new(), SESSION_COOKIE), None);
    }

    #[test]
    fn nothing_equals_nothing() {
        assert!(equal("ab", "ab"));
        assert!(!equal("", "") && !equal("ab", "ac") && !equal("ab", "abc"));
    }

    #[test]
    fn a_form_of_another_site_is_known_by_the_browsers_word() {
        let from = |site: &str| {
            HeaderMap::from_iter([("sec-fetch-site".parse().unwrap(), site.parse().unwrap())])
        };
        assert!(from_here(&HeaderMap::new()).is_ok() && from_here(&from("same-origin")).is_ok());
        assert!(from_here(&from("cross-site")).is_err() && from_here(&from("same-site")).is_err());
    }
}
