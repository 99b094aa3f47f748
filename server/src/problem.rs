//! Errors over HTTP, as problem documents (RFC 9457).

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::{
        StatusCode,
        header::{ALLOW, HeaderValue},
    },
};
use serde_json::json;

/// A problem document: `title` is the status in words, `detail` says what was wrong and what is allowed.
pub(crate) fn problem(status: StatusCode, detail: &str) -> HttpResponse {
    let mut response = HttpResponseBuilder::new(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header(("retry-after", "5"));
    }
    let title = status.canonical_reason().unwrap_or_default();
    let body = json!({"title": title, "status": status.as_u16(), "detail": detail});
    response.content_type("application/problem+json").body(format!("{body}\n"))
}

/// The answer to a method that is none of `allowed`.
pub(crate) fn only(allowed: &'static str) -> HttpResponse {
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, &format!("allowed methods here: {allowed}"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}
