//! Calls to a gateway over HTTP.

use rustls::crypto::ring;
use std::{io, sync::Arc, time::Duration};
use ureq::{
    Agent, Body,
    http::Response,
    tls::{Certificate, RootCerts, TlsConfig},
};

/// The largest answer that is read, in bytes.
const MAX_ANSWER: u64 = 1024 * 1024;

/// Why a gateway could not be asked, or said no.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("invalid URL {url:?}: wanted is http://host:port or https://host:port")]
    Url { url: String },
    #[error("no answer from {url}: {source}")]
    Call { url: String, source: Box<ureq::Error> },
    #[error("{url} answered {status}: {detail}")]
    Refused { url: String, status: u16, detail: String },
    #[error("cannot read {name}: {source}")]
    Read { name: String, source: io::Error },
    #[error("the data is no JSON: {source}; a text needs its own quotes: '\"hello\"'")]
    Data { source: serde_json::Error },
}

/// Whether the certificate of an `https://` gateway is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// It is of an authority of this system, and bears the gateway's name.
    Authorities,
    /// It is the gateway's on this very machine, whose certificate has another name.
    Anyone,
}

/// Speaks with one gateway.
pub(super) struct Caller {
    agent: Agent,
    base: String,
}

impl Caller {
    pub(super) fn new(base: &str, timeout: Duration, trust: Trust) -> Result<Self, CallError> {
        let wrong = || CallError::Url { url: base.to_owned() };
        let (scheme, place) = base.split_once("://").ok_or_else(wrong)?;
        if !["http", "https"].contains(&scheme) || place.is_empty() || place.contains(['@', '?', '#', ' ']) {
            return Err(wrong());
        }
        let mut tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .disable_verification(trust == Trust::Anyone);
        if scheme == "https" && trust == Trust::Authorities {
            let known = rustls_native_certs::load_native_certs().certs;
            let known = known.iter().map(|one| Certificate::from_der(one).to_owned()).collect();
            tls = tls.root_certs(RootCerts::Specific(Arc::new(known)));
        }
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .build();
        Ok(Self { agent: config.into(), base: base.trim_end_matches('/').to_owned() })
    }

    /// The body of what `GET path` answers.
    pub(super) fn get(&self, path: &str) -> Result<String, CallError> {
        let url = format!("{}{path}", self.base);
        answer(&url, self.agent.get(&url).call())
    }

    /// The body of what `POST path` answers.
    pub(super) fn post(&self, path: &str, key: Option<&str>, body: &str) -> Result<String, CallError> {
        let url = format!("{}{path}", self.base);
        let mut request = self.agent.post(&url).header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        answer(&url, request.send(body))
    }
}

fn answer(url: &str, answered: Result<Response<Body>, ureq::Error>) -> Result<String, CallError> {
    let failed = |source| CallError::Call { url: url.to_owned(), source: Box::new(source) };
    let mut response = answered.map_err(failed)?;
    let body = response.body_mut().with_config().limit(MAX_ANSWER).lossy_utf8(true).read_to_string();
    let (status, body) = (response.status(), body.map_err(failed)?);
    if status.is_success() {
        return Ok(body);
    }
    let problem = serde_json::from_str::<serde_json::Value>(&body).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str()).unwrap_or(body.trim());
    Err(CallError::Refused { url: url.to_owned(), status: status.as_u16(), detail: detail.to_owned() })
}
