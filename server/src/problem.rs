//! Errors over HTTP, as problem documents (RFC 9457).

use crate::BroadcastError;
use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::{
        StatusCode,
        header::{ALLOW, HeaderValue},
    },
};
use serde::{Serialize, Serializer, ser::SerializeStruct};

/// A problem document. `type` is `about:blank`, so `title` is the status in words; `code` is what programs look at, and
/// `detail` says to people what was wrong and what is allowed.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    field: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, code: code(status), detail: detail.into(), field: None }
    }

    /// With another code than the status's own.
    pub(crate) fn code(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    /// Where in the request it is, such as `events[3].channel`.
    pub(crate) fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    pub(crate) fn respond(&self) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.status);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header(("retry-after", "5"));
        }
        let mut body = serde_json::to_string(self).expect("strings and a number are JSON");
        body.push('\n');
        response.content_type("application/problem+json").body(body)
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("Problem", 6)?;
        document.serialize_field("type", "about:blank")?;
        document.serialize_field("title", self.status.canonical_reason().unwrap_or_default())?;
        document.serialize_field("status", &self.status.as_u16())?;
        document.serialize_field("code", self.code)?;
        document.serialize_field("detail", &self.detail)?;
        if let Some(field) = &self.field {
            document.serialize_field("field", field)?;
        }
        document.end()
    }
}

impl From<BroadcastError> for Problem {
    fn from(error: BroadcastError) -> Self {
        match error {
            BroadcastError::Config(detail) => Self::new(StatusCode::BAD_REQUEST, detail),
            _ => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).code(error.code()),
        }
    }
}

/// The code of a problem that has no closer one.
fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "request.invalid",
        StatusCode::UNAUTHORIZED => "request.unauthorized",
        StatusCode::FORBIDDEN => "request.forbidden",
        StatusCode::METHOD_NOT_ALLOWED => "request.method",
        StatusCode::PAYLOAD_TOO_LARGE => "request.too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "request.media_type",
        StatusCode::UPGRADE_REQUIRED => "request.upgrade",
        StatusCode::SERVICE_UNAVAILABLE => "gateway.unavailable",
        _ => "request.refused",
    }
}

/// The answer to a request that cannot be served.
pub(crate) fn problem(status: StatusCode, detail: &str) -> HttpResponse {
    Problem::new(status, detail).respond()
}

/// The answer to a method that is none of `allowed`.
pub(crate) fn only(allowed: &'static str) -> HttpResponse {
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, &format!("allowed methods here: {allowed}"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}
