//! Which pages may connect: a WebSocket is not held back by the same-origin policy, so the gateway checks.

use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, HOST, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether `origin` can be on the list of allowed origins.
pub(crate) fn check(origin: &str) -> Result<(), String> {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let valid = origin == "*"
        || origin == "null"
        || authority
            .is_some_and(|a| !a.is_empty() && a.chars().all(|c| c.is_ascii_graphic() && !"/?#*".contains(c)));
    if valid {
        Ok(())
    } else {
        Err(format!(
            "invalid origin {origin:?}: allowed is scheme://host[:port] such as https://app.example.com, or * for every one"
        ))
    }
}

/// Whether a request with these headers comes from a page that may use the gateway: one of the same host, one on the
/// list, or no page at all. A page has one origin: a request that names two is of none.
pub(crate) fn is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    if headers.get_all(ORIGIN).count() > 1 {
        return false;
    }
    let Some(origin) = headers.get(ORIGIN) else { return true };
    origin.to_str().is_ok_and(|origin| is_page_allowed(origin, host(headers), allowed))
}

/// Whether a page of `origin` may use the gateway, which it knows as `host`.
pub(crate) fn is_page_allowed(origin: &str, host: Option<&str>, allowed: &[String]) -> bool {
    let listed = |entry: &String| entry == "*" || entry.eq_ignore_ascii_case(origin);
    same_host(host, origin) || allowed.iter().any(listed)
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(HOST)?.to_str().ok()
}

/// Lets the page that a request with the headers `request` came from read the answer with the headers `response`, when
/// it may use the gateway; with cookies, when it is on the list by its name.
pub(crate) fn share(request: &HeaderMap, allowed: &[String], response: &mut HeaderMap) {
    response.insert(VARY, HeaderValue::from_static("origin"));
    let Some(origin) = request.get(ORIGIN).filter(|_| is_allowed(request, allowed)) else { return };
    response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    let name = origin.to_str().unwrap_or_default();
    // `null` is no name: every page in a sandbox has it.
    if name != "null" && allowed.iter().any(|entry| entry.eq_ignore_ascii_case(name)) {
        response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

fn same_host(host: Option<&str>, origin: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let Some(host) = host else { return false };
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let bare = |name: &str| name.strip_suffix(port).unwrap_or(name).to_ascii_lowercase();
    bare(authority) == bare(host)
}

/// Whether a request with these headers comes from no page, or from one that was loaded from this very machine. A
/// page of another host is not of this machine even when the name of that host has been made to mean it.
pub(crate) fn is_of_this_machine(headers: &HeaderMap) -> bool {
    if headers.get_all(ORIGIN).count() > 1 {
        return false;
    }
    let Some(origin) = headers.get(ORIGIN) else { return true };
    origin.to_str().is_ok_and(|origin| same_host(host(headers), origin) && is_loopback(origin))
}

/// Whether an origin, or a `Host`, names this machine by a name that cannot be made to mean another one.
pub(crate) fn is_loopback(origin: &str) -> bool {
    let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
        || host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .is_some_and(|host| host.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origin: Option<&'static str>, list: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("App.example.com:8080"));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        is_allowed(&headers, &list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn own_host_listed_or_no_page() {
        for (origin, list, expected) in [
            (None, &[][..], true),
            (Some("http://app.example.com:8080"), &[], true),
            (Some("https://app.example.com:8080"), &[], true),
            (Some("https://app.example.com"), &[], false),
            (Some("https://evil.example"), &[], false),
            (Some("null"), &[], false),
            (Some("https://other.example"), &["https://other.example"], true),
            (Some("https://other.example:444"), &["https://other.example"], false),
            (Some("https://any.example"), &["*"], true),
            (Some("null"), &["null"], true),
        ] {
            assert_eq!(allowed(origin, list), expected, "{origin:?} {list:?}");
        }
    }

    #[test]
    fn a_default_port_is_the_same_host() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("example.com:443"));
        headers.insert(ORIGIN, HeaderValue::from_static("https://example.com"));
        assert!(is_allowed(&headers, &[]));
    }

    #[test]
    fn two_origins_are_none() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("localhost:8080"));
        headers.append(ORIGIN, HeaderValue::from_static("http://localhost:8080"));
        assert!(is_allowed(&headers, &[]) && is_of_this_machine(&headers));
        headers.append(ORIGIN, HeaderValue::from_static("http://localhost:8080"));
        assert!(!is_allowed(&headers, &["*".to_owned()]) && !is_of_this_machine(&headers));
    }

    #[test]
    fn what_may_be_on_the_list() {
        for good in ["*", "null", "https://a.example", "http://localhost:5173", "capacitor://localhost"] {
            assert_eq!(check(good), Ok(()));
        }
        for bad in ["a.example", "https://", "https://a.example/", "https://*.example", ""] {
            assert!(check(bad).expect_err(bad).contains(&format!("{bad:?}")));
        }
    }

    #[test]
    fn pages_of_this_machine() {
        for (origin, host, expected) in [
            (None, "gateway.example.com", true),
            (Some("http://localhost:8080"), "localhost:8080", true),
            (Some("http://127.0.0.1:8080"), "127.0.0.1:8080", true),
            (Some("http://[::1]:8080"), "[::1]:8080", true),
            (Some("http://[::1]"), "[::1]", true),
            (Some("http://localhost:3000"), "localhost:8080", false),
            (Some("http://rebound.example.com:8080"), "rebound.example.com:8080", false),
            (Some("http://localhost.example.com"), "localhost.example.com", false),
            (Some("null"), "localhost:8080", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(is_of_this_machine(&headers), expected, "{origin:?} at {host}");
        }
    }
}
