//! What a token says of its bearer.

use super::TokenError;
use crate::{RawJson, Subject};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidings_protocol::Pattern;

/// How far the clock of whoever signs tokens may be off.
pub(super) const LEEWAY: Duration = Duration::from_secs(15);

/// The longest `sub`, in bytes.
const MAX_SUBJECT: usize = 200;

/// What a `sub` may be.
pub(super) const SUBJECT: &str = "text of 1 to 200 bytes without control characters";

/// The last second of the year 9999. What is later is no date but a mistake, such as milliseconds.
const LAST_DATE: f64 = 253_402_300_799.0;

/// What a token lets its bearer do: the [`user`](Subject::user) of a subject that came by a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    channels: Vec<Pattern>,
    publish: Vec<Pattern>,
    info: Option<RawJson>,
}

impl Claims {
    /// Whether one of the patterns in `channels` matches `channel`.
    pub fn covers(&self, channel: &str) -> bool {
        self.channels.iter().any(|pattern| pattern.matches(channel))
    }

    /// Whether one of the patterns in `publish` matches `channel`.
    pub fn may_publish(&self, channel: &str) -> bool {
        self.publish.iter().any(|pattern| pattern.matches(channel))
    }

    /// What others may know of the bearer, for presence.
    pub fn info(&self) -> Option<&RawJson> {
        self.info.as_ref()
    }
}

/// What is asked of every token.
#[derive(Clone, Debug, Default)]
pub(super) struct Demands {
    /// One of these must be `iss`; none: anybody.
    pub(super) issuers: Vec<String>,
    /// One of these must be in `aud`; none: the token must be for nobody in particular.
    pub(super) audiences: Vec<String>,
    /// Whether a token may be without `exp`.
    pub(super) for_ever: bool,
}

#[derive(Deserialize)]
struct Payload {
    sub: Option<Value>,
    exp: Option<Value>,
    nbf: Option<Value>,
    iat: Option<Value>,
    jti: Option<Value>,
    iss: Option<Value>,
    aud: Option<Value>,
    channels: Option<Value>,
    publish: Option<Value>,
    info: Option<Box<RawValue>>,
}

impl Demands {
    /// Who bears a token with this payload at `now`, or what is wrong with it.
    pub(super) fn check(&self, payload: &[u8], now: SystemTime) -> Result<Subject, TokenError> {
        let payload: Payload = serde_json::from_slice(payload).map_err(|_| TokenError::NoToken)?;
        let expiry = date("exp", payload.exp)?;
        match expiry {
            Some(expiry) if now >= expiry + LEEWAY => return Err(TokenError::Expired),
            None if !self.for_ever => return Err(TokenError::Missing("exp")),
            _ => {}
        }
        if date("nbf", payload.nbf)?.is_some_and(|from| now + LEEWAY < from) {
            return Err(TokenError::NotYet);
        }
        self.check_issuer(payload.iss)?;
        self.check_audience(payload.aud)?;
        let issued = date("iat", payload.iat)?;
        let id = text("sub", payload.sub)?.ok_or(TokenError::Missing("sub"))?;
        if !is_subject(&id) {
            return Err(TokenError::Claim("sub", SUBJECT));
        }
        let claims = Claims {
            channels: patterns("channels", payload.channels)?,
            publish: patterns("publish", payload.publish)?,
            info: payload.info.map(RawJson::from),
        };
        let mut subject = Subject::with_user(id, claims);
        if let Some(token_id) = text("jti", payload.jti)? {
            subject = subject.with_token_id(token_id);
        }
        if let Some(issued) = issued {
            subject = subject.with_issued_at(issued);
        }
        Ok(match expiry {
            Some(expiry) => subject.with_expiry(expiry + LEEWAY),
            None => subject,
        })
    }

    fn check_issuer(&self, iss: Option<Value>) -> Result<(), TokenError> {
        let iss = text("iss", iss)?;
        let known = |iss: String| self.issuers.contains(&iss);
        if self.issuers.is_empty() || iss.is_some_and(known) { Ok(()) } else { Err(TokenError::Issuer) }
    }

    /// RFC 7519, 4.1.3: a token for an audience is for nobody else.
    fn check_audience(&self, aud: Option<Value>) -> Result<(), TokenError> {
        let aud = match aud {
            None => Vec::new(),
            Some(Value::String(one)) => vec![one],
            Some(many) => texts("aud", many)?,
        };
        let meant = if self.audiences.is_empty() {
            aud.is_empty()
        } else {
            aud.iter().any(|audience| self.audiences.contains(audience))
        };
        if meant { Ok(()) } else { Err(TokenError::Audience) }
    }
}

pub(super) fn is_subject(id: &str) -> bool {
    (1..=MAX_SUBJECT).contains(&id.len()) && !id.chars().any(char::is_control)
}

fn text(name: &'static str, value: Option<Value>) -> Result<Option<String>, TokenError> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(TokenError::Claim(name, "text")),
    }
}

fn texts(name: &'static str, value: Value) -> Result<Vec<String>, TokenError> {
    let wanted = || TokenError::Claim(name, "an array of texts");
    let Value::Array(values) = value else { return Err(wanted()) };
    values.into_iter().map(|value| text(name, Some(value))?.ok_or_else(wanted)).collect()
}

fn date(name: &'static str, value: Option<Value>) -> Result<Option<SystemTime>, TokenError> {
    let Some(value) = value else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..=LAST_DATE).contains(seconds));
    let seconds = seconds.ok_or(TokenError::Claim(name, "seconds since 1970, up to the year 9999"))?;
    Ok(Some(UNIX_EPOCH + Duration::from_secs_f64(seconds)))
}

fn patterns(name: &'static str, value: Option<Value>) -> Result<Vec<Pattern>, TokenError> {
    let wanted = "an array of channels, or prefixes with one trailing *";
    let texts = value.map_or(Ok(Vec::new()), |value| texts(name, value))?;
    texts.iter().map(|text| text.parse().map_err(|_| TokenError::Claim(name, wanted))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn check(demands: &Demands, payload: &Value) -> Result<Subject, TokenError> {
        demands.check(payload.to_string().as_bytes(), at(1_000_000))
    }

    #[test]
    fn a_subject_with_all_that_its_token_says() {
        let payload = json!({
            "sub": "u1", "exp": 1_000_060, "nbf": 999_000, "iat": 999_000.5, "jti": "t1",
            "channels": ["private-a.*", "b"], "publish": ["b"], "info": {"name": "Ann"}, "other": [1],
        });
        let subject = check(&Demands::default(), &payload).expect("valid");
        assert_eq!((subject.id(), subject.token_id()), ("u1", Some("t1")));
        assert_eq!(subject.expires_at(), Some(at(1_000_060) + LEEWAY));
        assert_eq!(subject.issued_at(), Some(at(999_000) + Duration::from_millis(500)));
        let claims: &Claims = subject.user().expect("claims");
        for (channel, covered, published) in [
            ("private-a.1", true, false),
            ("b", true, true),
            ("private-b", false, false),
            ("b1", false, false),
        ] {
            assert_eq!(
                (claims.covers(channel), claims.may_publish(channel)),
                (covered, published),
                "{channel}"
            );
        }
        assert_eq!(claims.info().map(RawJson::as_str), Some(r#"{"name":"Ann"}"#));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let good = json!({"sub": "u1", "exp": 1_000_001});
        assert!(check(&Demands::default(), &good).is_ok());
        for (name, value, wanted) in [
            ("sub", Value::Null, TokenError::Missing("sub")),
            ("sub", json!(7), TokenError::Claim("sub", "text")),
            ("sub", json!(""), TokenError::Claim("sub", SUBJECT)),
            ("sub", json!("x".repeat(201)), TokenError::Claim("sub", SUBJECT)),
            ("exp", Value::Null, TokenError::Missing("exp")),
            ("exp", json!("1000001"), TokenError::Claim("exp", "seconds since 1970, up to the year 9999")),
            (
                "exp",
                json!(1_000_001_000_000_u64),
                TokenError::Claim("exp", "seconds since 1970, up to the year 9999"),
            ),
            ("exp", json!(-1), TokenError::Claim("exp", "seconds since 1970, up to the year 9999")),
            ("iat", json!([]), TokenError::Claim("iat", "seconds since 1970, up to the year 9999")),
            ("jti", json!(1), TokenError::Claim("jti", "text")),
            ("channels", json!("a"), TokenError::Claim("channels", "an array of texts")),
            ("channels", json!([1]), TokenError::Claim("channels", "text")),
            (
                "publish",
                json!(["a*b"]),
                TokenError::Claim("publish", "an array of channels, or prefixes with one trailing *"),
            ),
            ("aud", json!(1), TokenError::Claim("aud", "an array of texts")),
        ] {
            let mut payload = good.clone();
            payload[name] = value;
            assert_eq!(check(&Demands::default(), &payload).err(), Some(wanted), "{payload}");
        }
        for bad in ["", "[]", "null", "{", "1"] {
            let error = Demands::default().check(bad.as_bytes(), at(0)).expect_err(bad);
            assert_eq!(error, TokenError::NoToken);
        }
    }

    #[test]
    fn times_have_some_leeway() {
        for (name, seconds, error) in [
            ("exp", 999_985, Some(TokenError::Expired)),
            ("exp", 999_986, None),
            ("nbf", 1_000_015, None),
            ("nbf", 1_000_016, Some(TokenError::NotYet)),
        ] {
            let mut payload = json!({"sub": "u1", "exp": 1_000_001});
            payload[name] = json!(seconds);
            assert_eq!(check(&Demands::default(), &payload).err(), error, "{payload}");
        }
        let demands = Demands { for_ever: true, ..Demands::default() };
        let subject = check(&demands, &json!({"sub": "u1"})).expect("valid");
        assert_eq!(subject.expires_at(), None);
        assert!(check(&demands, &json!({"sub": "u1", "exp": 1})).is_err());
    }

    #[test]
    fn issuer_and_audience() {
        let demands =
            Demands { issuers: vec!["i".into(), "j".into()], audiences: vec!["a".into()], for_ever: true };
        for (iss, aud, error) in [
            (json!("j"), json!("a"), None),
            (json!("i"), json!(["b", "a"]), None),
            (json!("k"), json!("a"), Some(TokenError::Issuer)),
            (Value::Null, json!("a"), Some(TokenError::Issuer)),
            (json!("i"), json!("b"), Some(TokenError::Audience)),
            (json!("i"), json!([]), Some(TokenError::Audience)),
            (json!("i"), Value::Null, Some(TokenError::Audience)),
        ] {
            let payload = json!({"sub": "u1", "iss": iss, "aud": aud});
            assert_eq!(check(&demands, &payload).err(), error, "{payload}");
        }
        let anybody = Demands { for_ever: true, ..Demands::default() };
        assert!(check(&anybody, &json!({"sub": "u1", "iss": "x"})).is_ok());
        let meant_for_another = json!({"sub": "u1", "aud": "x"});
        assert_eq!(check(&anybody, &meant_for_another).err(), Some(TokenError::Audience));
    }
}
