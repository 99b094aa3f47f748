//! Sending clients away, and locking out users and tokens.

use super::body::{self, Text, given};
use crate::{Gateway, Revocation, Target, problem::Problem, revocations::check_id};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Payload};
use serde::Deserialize;
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The end of the year 9999, in seconds since 1970.
const MAX_TIME: u64 = 253_402_300_799;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Disconnect<'a> {
    #[serde(borrow, default, deserialize_with = "given")]
    client: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "given")]
    user: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "given")]
    token_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke<'a> {
    #[serde(borrow, default, deserialize_with = "given")]
    user: Option<Text<'a>>,
    #[serde(default, deserialize_with = "given")]
    issued_before: Option<u64>,
    #[serde(borrow, default, deserialize_with = "given")]
    token_id: Option<Text<'a>>,
    #[serde(default, deserialize_with = "given")]
    until: Option<u64>,
}

/// What the fields of these may be.
fn allowed(field: &str) -> &'static str {
    match field {
        "" => r#"an object such as {"user": "u1"}"#,
        "client" => "the id of a client, a ULID",
        "user" | "token_id" => "a string of 1 to 256 bytes",
        "issued_before" | "until" => "a time in whole seconds since 1970",
        _ => "any JSON",
    }
}

/// `POST /api/disconnect`
pub(super) async fn disconnect(
    gateway: &Gateway,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let target = target(gateway, request, payload).await?;
    gateway.disconnect(target).await?;
    Ok(accepted())
}

/// Who is to be disconnected.
pub(crate) async fn target(
    gateway: &Gateway,
    request: &HttpRequest,
    payload: Payload,
) -> Result<Target, Problem> {
    let body = body::read(request, payload, gateway.shared.config.limits.api_body_bytes).await?;
    Ok(match body::parse(&body, allowed)? {
        Disconnect { client: Some(client), user: None, token_id: None } => {
            let detail = || format!("invalid client: wanted is {}", allowed("client"));
            Target::Client(client.as_ref().parse().map_err(|_| invalid(detail()).at("client"))?)
        }
        Disconnect { client: None, user: Some(user), token_id: None } => Target::User(id("user", &user)?),
        Disconnect { client: None, user: None, token_id: Some(token) } => {
            Target::Token(id("token_id", &token)?)
        }
        _ => return Err(invalid("wanted is one of client, user and token_id")),
    })
}

/// `POST /api/revoke`
pub(super) async fn revoke(
    gateway: &Gateway,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let body = body::read(request, payload, gateway.shared.config.limits.api_body_bytes).await?;
    let revocation = match body::parse(&body, allowed)? {
        Revoke { user: Some(user), issued_before, token_id: None, until: None } => {
            let now = SystemTime::now();
            let issued_before = issued_before.map_or(Ok(now), |seconds| time("issued_before", seconds))?;
            Revocation::User { id: id("user", &user)?, issued_before }
        }
        Revoke { user: None, issued_before: None, token_id: Some(token), until: Some(until) } => {
            let until = time("until", until)?;
            if until <= SystemTime::now() {
                return Err(invalid("invalid until: it is over, and wanted is a time to come").at("until"));
            }
            Revocation::Token { id: id("token_id", &token)?, until }
        }
        _ => return Err(invalid("wanted is user, with or without issued_before, or token_id and until")),
    };
    gateway.revoke(revocation).await?;
    Ok(accepted())
}

/// The backplane has it; each gateway does it when it hears of it.
pub(crate) fn accepted() -> HttpResponse {
    HttpResponse::Accepted().json(json!({}))
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

fn id(field: &str, text: &Text<'_>) -> Result<Arc<str>, Problem> {
    check_id(field, text.as_ref()).map_err(|detail| invalid(detail).at(field))?;
    Ok(text.as_ref().into())
}

fn time(field: &str, seconds: u64) -> Result<SystemTime, Problem> {
    if seconds > MAX_TIME {
        let detail = format!("invalid {field}: allowed are 0 to {MAX_TIME}, in seconds since 1970");
        return Err(invalid(detail).at(field));
    }
    Ok(UNIX_EPOCH + Duration::from_secs(seconds))
}
