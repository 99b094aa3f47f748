//! Who may use the API.

use super::keys::ApiKeys;
use crate::{origin, problem::Problem};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{AUTHORIZATION, HOST, HeaderValue, WWW_AUTHENTICATE},
    },
};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::{num::NonZero, sync::Arc};

/// Headers that a reverse proxy adds.
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// Lines of the log in a minute about requests without a valid key, so that strangers cannot fill it.
const LINES_PER_MINUTE: NonZero<u32> = NonZero::new(6).expect("not zero");

#[derive(Clone)]
pub(crate) enum Door {
    /// Programs on this machine.
    Local,
    /// Whoever has a key, from anywhere.
    Keys { keys: ApiKeys, lines: Arc<DefaultDirectRateLimiter> },
}

impl Door {
    pub(crate) fn keys(keys: ApiKeys) -> Self {
        let lines = Arc::new(RateLimiter::direct(Quota::per_minute(LINES_PER_MINUTE)));
        Self::Keys { keys, lines }
    }

    /// Why a request is not let in.
    pub(super) fn refusal(&self, request: &HttpRequest) -> Option<HttpResponse> {
        self.admit(request).err().map(|refusal| *refusal)
    }

    /// Whose key a request has, where keys are wanted; or why it is not let in.
    pub(crate) fn admit(&self, request: &HttpRequest) -> Result<Option<&str>, Box<HttpResponse>> {
        match self {
            Self::Local => match local(request) {
                Ok(()) => Ok(None),
                Err(detail) => Err(Box::new(Problem::new(StatusCode::FORBIDDEN, detail).respond())),
            },
            Self::Keys { keys, lines } => {
                let sent = request.headers().get(AUTHORIZATION);
                let secret = sent.and_then(bearer).filter(|secret| !secret.is_empty());
                let name = secret.and_then(|secret| keys.name_of(secret));
                if let Some(key) = name {
                    tracing::debug!(key, method = %request.method(), path = request.path(), "API");
                    return Ok(name);
                }
                if lines.check().is_ok() {
                    let from = request.peer_addr().map(|peer| tracing::field::display(peer.ip()));
                    tracing::warn!(from, "a request without a valid key was refused");
                }
                Err(Box::new(challenge(sent.is_some(), secret.is_some())))
            }
        }
    }
}

/// The secret of `Authorization: Bearer SECRET`.
fn bearer(header: &HeaderValue) -> Option<&[u8]> {
    let (scheme, secret) = header.as_bytes().split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| secret.trim_ascii())
}

/// `sent` says whether there was an `Authorization`, and `secret` whether that was of the right form.
fn challenge(sent: bool, secret: bool) -> HttpResponse {
    let detail = match secret {
        true => "this API key is not valid",
        false => "an API key is wanted, as Authorization: Bearer SECRET",
    };
    let challenge = match sent {
        true => r#"Bearer realm="tidings", error="invalid_token""#,
        false => r#"Bearer realm="tidings""#,
    };
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, detail).respond();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

pub(crate) fn local(request: &HttpRequest) -> Result<(), &'static str> {
    let headers = request.headers();
    if !request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback()) {
        return Err("without API keys this API is open to programs on the gateway's own machine only");
    }
    if FORWARDED.iter().any(|name| headers.contains_key(*name)) {
        return Err("without API keys this API is not open through a proxy: call the gateway directly");
    }
    if !origin::is_of_this_machine(headers) {
        return Err("without API keys this API is not open to pages of another origin");
    }
    // A page whose host's name was made to mean this machine sends no origin with a GET.
    if headers.get(HOST).is_some_and(|host| !host.to_str().is_ok_and(origin::is_loopback)) {
        return Err("without API keys this API is to be called as localhost, 127.0.0.1 or [::1]");
    }
    Ok(())
}
