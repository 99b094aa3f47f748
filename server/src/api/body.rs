//! A request's JSON body: read up to a limit, and what is wrong with it said by field.

use crate::problem::Problem;
use actix_web::{
    HttpMessage, HttpRequest,
    http::{StatusCode, header::CONTENT_LENGTH},
    web::{Bytes, Payload},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use std::{borrow::Cow, fmt, marker::PhantomData};

/// Reads a body of at most `limit` bytes.
pub(super) async fn read(request: &HttpRequest, payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    if !request.content_type().trim().eq_ignore_ascii_case("application/json") {
        let detail = "the content type must be application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let too_large = || {
        let detail = format!("the body is too large: allowed are {limit} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        return Err(too_large());
    }
    let body = payload.to_bytes_limited(limit).await.map_err(|_| too_large())?;
    body.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body did not come whole"))
}

/// Parses a body into a `T`, an object whose fields `allowed` knows: what each may be, and an empty name for the whole.
pub(super) fn parse<'a, T: Deserialize<'a>>(
    body: &'a [u8],
    allowed: fn(&str) -> &'static str,
) -> Result<T, Problem> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    let error = match serde_json::from_slice::<Object<T>>(body) {
        Ok(Object(parsed)) => return Ok(parsed),
        Err(error) => error,
    };
    if !error.is_data() {
        return Err(bad(format!("the body is no JSON: {error}: wanted is {}", allowed(""))));
    }
    // Once more, to find out where: that is not for free.
    let mut json = serde_json::Deserializer::from_slice(body);
    let path = match serde_path_to_error::deserialize::<_, Object<T>>(&mut json) {
        Ok(_) => String::new(),
        Err(error) => error.path().to_string(),
    };
    let path = if path == "." { "" } else { &*path };
    let text = error.to_string();
    // These repeat what was sent, which is nobody's business.
    let detail = if text.starts_with("invalid ") {
        let name = path.rsplit('.').next().unwrap_or_default();
        let name = name.split('[').next().unwrap_or_default();
        let place = if path.is_empty() { "body" } else { path };
        let (line, column) = (error.line(), error.column());
        format!("invalid {place} at line {line} column {column}: wanted is {}", allowed(name))
    } else {
        text
    };
    let problem = bad(detail);
    Err(if path.is_empty() { problem } else { problem.at(path) })
}

/// Text of a body, borrowed from it unless it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// For a field that may be left out, but not be `null`.
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(json: D) -> Result<Option<T>, D::Error> {
    T::deserialize(json).map(Some)
}

/// A JSON object. Derived types would take an array too.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        json.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

/// A list of 1 to `MOST`.
pub(super) struct List<T, const MOST: usize>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for List<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Items<T, const MOST: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Items<T, MOST> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    if items.len() == MOST {
                        return Err(A::Error::custom(format_args!("too many: allowed are 1 to {MOST}")));
                    }
                    items.push(item);
                }
                if items.is_empty() {
                    return Err(A::Error::custom(format_args!("none: allowed are 1 to {MOST}")));
                }
                Ok(items)
            }
        }

        json.deserialize_seq(Items::<T, MOST>(PhantomData)).map(Self)
    }
}
