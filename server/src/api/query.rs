//! What a request's query says, and what is wrong with it.

use crate::problem::Problem;
use actix_web::{HttpRequest, http::StatusCode, web::Query};
use serde::de::DeserializeOwned;
use std::ops::RangeInclusive;

/// The query as a `T`; `allowed` names its parameters.
pub(crate) fn query<T: DeserializeOwned>(request: &HttpRequest, allowed: &str) -> Result<T, Problem> {
    let refused = |error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            format!("{error}: the parameters here are {allowed}, each once"),
        )
    };
    Query::from_query(request.query_string()).map(Query::into_inner).map_err(refused)
}

/// A number of the query.
pub(crate) fn number(
    name: &str,
    text: Option<&str>,
    allowed: RangeInclusive<u64>,
) -> Result<Option<u64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && allowed.contains(number));
    let (first, last) = (allowed.start(), allowed.end());
    let refusal = || {
        let detail = format!("invalid {name} {text:?}: allowed is a whole number from {first} to {last}");
        Problem::new(StatusCode::BAD_REQUEST, detail).at(name)
    };
    number.map(Some).ok_or_else(refusal)
}
