//! `/ui/login`, `/ui/logout`: a key for a session.

use super::answer::{Shown, page};
use super::session::{Signed, door_token, equal, role, unsigned, with_cookie};
use crate::app::App;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use dashboard::PREFIX;
use dashboard::screens::login::{Login, Refused};
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::Arc;

#[derive(Debug, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

pub(super) async fn show(State(app): State<Arc<App>>, Query(query): Query<Next>) -> Shown {
    door(&app, &query.next, None)
}

fn door(app: &App, next: &str, refused: Option<Refused>) -> Shown {
    let (csrf, cookie) = app.visits()?.door();
    let next = &ours(next);
    let text = Login { csrf: &csrf, refused, next }.page();
    let status = match refused {
        None => StatusCode::OK,
        Some(Refused::TooOften) => StatusCode::TOO_MANY_REQUESTS,
        Some(Refused::Away) => StatusCode::SERVICE_UNAVAILABLE,
        Some(Refused::Unknown | Refused::Stale) => StatusCode::FORBIDDEN,
    };
    with_cookie((status, page(text)).into_response(), cookie)
}

/// Only a path of ours: the door must not send people to another site.
fn ours(next: &str) -> String {
    let plain = next.starts_with(&format!("{PREFIX}/"))
        && !next.contains(['\\', '\r', '\n'])
        && !next.starts_with(&format!("{PREFIX}/log"))
        && !next.starts_with(&format!("{PREFIX}/live"));
    if plain { next.to_owned() } else { format!("{PREFIX}/fleet") }
}

pub(super) async fn enter(
    State(app): State<Arc<App>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
) -> Shown {
    let visits = app.visits()?;
    let (headers, form) = unsigned(request).await?;
    let next = ours(form.get("next"));
    let from = app.callers.origin().of(from.ip(), &headers);
    if !visits.may_try(from) {
        return door(&app, &next, Some(Refused::TooOften));
    }
    if !equal(form.get("csrf"), &door_token(&headers)) {
        return door(&app, &next, Some(Refused::Stale));
    }
    let key = match app.callers.with_key(form.get("key"), from).await {
        Ok(key) => Some(key).filter(|key| role(key).is_some()),
        Err(problem) => match problem.status() {
            429 => return door(&app, &next, Some(Refused::TooOften)),
            503 => return door(&app, &next, Some(Refused::Away)),
            _ => None,
        },
    };
    let Some(key) = key else {
        tracing::info!(%from, "a login to the dashboard was refused");
        return door(&app, &next, Some(Refused::Unknown));
    };
    match visits.begin(&key).await {
        Ok(cookie) => {
            tracing::info!(key = key.name, %from, "logged in to the dashboard");
            with_cookie(Redirect::to(&next).into_response(), cookie)
        }
        Err(_) => door(&app, &next, Some(Refused::Away)),
    }
}

pub(super) async fn leave(State(app): State<Arc<App>>, signed: Signed) -> Shown {
    let cookie = app.visits()?.end(&signed.visitor.session).await?;
    with_cookie(Redirect::to(&format!("{PREFIX}/login")).into_response(), cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_door_leads_to_our_own_pages_only() {
        assert_eq!(ours("/ui/jobs?where=state%3Dfailed"), "/ui/jobs?where=state%3Dfailed");
        for other in
            ["", "//evil.example", "https://evil.example", "/ui", "/ui/\\evil", "/ui/logout"]
        {
            assert_eq!(ours(other), "/ui/fleet", "{other}");
        }
    }
}
