//! Where a request has its token.

use actix_web::{
    HttpRequest,
    http::header::{AUTHORIZATION, COOKIE},
    web::Query,
};

/// The token of a request: of its `Authorization` header, else of `token` in its query, else of the cookie of that name.
/// Only the first that is there counts.
pub(super) fn token(request: &HttpRequest, cookie: Option<&str>) -> Option<String> {
    header(request).or_else(|| query(request)).or_else(|| self::cookie(request, cookie?))
}

fn header(request: &HttpRequest) -> Option<String> {
    let (scheme, token) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn query(request: &HttpRequest) -> Option<String> {
    let Query(query) = Query::<Vec<(String, String)>>::from_query(request.query_string()).ok()?;
    query.into_iter().find(|(key, token)| key == "token" && !token.is_empty()).map(|(_, token)| token)
}

fn cookie(request: &HttpRequest, name: &str) -> Option<String> {
    let cookies = request.headers().get_all(COOKIE).filter_map(|header| header.to_str().ok());
    let mut pairs =
        cookies.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(key, value)| *key == name && !value.is_empty())?;
    Some(value.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn the_first_place_that_has_one() {
        let all = |uri: &str, headers: &[(&'static str, &'static str)]| {
            let request = headers.iter().fold(TestRequest::with_uri(uri), |r, h| r.append_header(*h));
            token(&request.to_http_request(), Some("session"))
        };
        let cookie = ("cookie", "a=1; session=\"c\"; session=d");
        let bearer = ("authorization", "bearer  h");
        assert_eq!(all("/?token=q", &[cookie, bearer]).as_deref(), Some("h"));
        assert_eq!(all("/?a=b&token=q%2E", &[cookie]).as_deref(), Some("q."));
        assert_eq!(all("/?token=", &[cookie]).as_deref(), Some("c"));
        assert_eq!(all("/", &[("cookie", "a=1"), ("cookie", "session=e")]).as_deref(), Some("e"));
        assert_eq!(all("/?token=q", &[("authorization", "Basic h")]).as_deref(), Some("q"));
        assert_eq!(all("/", &[("cookie", "sessions=1; xsession=2; session")]), None);
        let request = TestRequest::default().append_header(cookie).to_http_request();
        assert_eq!(token(&request, None), None);
    }
}
