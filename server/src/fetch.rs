//! HTTP requests of the gateway's own: to where keys are published, and to the application.

use crate::{BoxError, BroadcastError};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, StatusCode, Uri,
    header::{ACCEPT, HeaderValue, USER_AGENT},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use std::{error::Error, fmt, sync::Arc, time::Duration};
use tokio::time::timeout;

const AGENT: &str = concat!("tidings/", env!("CARGO_PKG_VERSION"));

/// How long a connection is kept for the next request: less than servers do, of which many close it after 5 s.
const IDLE: Duration = Duration::from_secs(3);

/// Connections that are kept at most.
const IDLE_CONNECTIONS: usize = 16;

/// One URL that is asked, over HTTP/1.1. Redirects are not followed.
pub(crate) struct Endpoint {
    url: Uri,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Why there is no answer. Says nothing of the URL, which may have a secret in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FetchError {
    #[error("there was no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("it cannot be reached: {}", causes(.0))]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("the answer broke off: {0}")]
    Broken(#[source] BoxError),
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

impl Endpoint {
    /// `what` is how an error calls the URL.
    pub(crate) fn new(url: &str, what: &str) -> Result<Self, BroadcastError> {
        let wanted = || {
            BroadcastError::Config(format!(
                "invalid {what}: wanted is https://host[:port]/path or http://host[:port]/path, without user or password"
            ))
        };
        let url = url.parse::<Uri>().map_err(|_| wanted())?;
        let plain = url.authority().is_some_and(|a| !a.host().is_empty() && !a.as_str().contains('@'));
        if !plain {
            return Err(wanted());
        }
        let tls = match url.scheme_str() {
            Some("http") => tls(RootCertStore::empty()),
            Some("https") => tls(roots(what)?),
            _ => return Err(wanted()),
        };
        let tls = tls.map_err(|error| BroadcastError::Config(format!("TLS cannot be used: {error}")))?;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self { url, client })
    }

    /// The host, for a log line.
    pub(crate) fn host(&self) -> &str {
        self.url.host().unwrap_or_default()
    }

    /// Whether what is said can be read and changed on its way.
    pub(crate) fn is_open(&self) -> bool {
        let local = matches!(self.host(), "localhost" | "127.0.0.1" | "[::1]");
        self.url.scheme_str() == Some("http") && !local
    }

    /// The body of the answer, of `limit` bytes at most, if it comes `within` that time.
    pub(crate) async fn get(&self, limit: usize, within: Duration) -> Result<Bytes, FetchError> {
        self.ask(self.request(Method::GET, Bytes::new()), limit, within).await
    }

    /// The same, after sending JSON.
    #[cfg(feature = "webhooks")]
    pub(crate) async fn post(
        &self,
        headers: [(&'static str, String); 2],
        body: Bytes,
        limit: usize,
        within: Duration,
    ) -> Result<Bytes, FetchError> {
        use hyper::header::{CONTENT_TYPE, HeaderName};

        let mut request = self.request(Method::POST, body);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            let value = HeaderValue::try_from(value).expect("numbers and signatures are plain text");
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        self.ask(request, limit, within).await
    }

    fn request(&self, method: Method, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.url.clone();
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        request
    }

    async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        limit: usize,
        within: Duration,
    ) -> Result<Bytes, FetchError> {
        let answer = async {
            let response = self.client.request(request).await.map_err(FetchError::Unreachable)?;
            if !response.status().is_success() {
                return Err(FetchError::Status(response.status()));
            }
            let body = Limited::new(response.into_body(), limit).collect().await;
            body.map(http_body_util::Collected::to_bytes).map_err(|error| {
                if error.is::<LengthLimitError>() {
                    FetchError::TooLong(limit)
                } else {
                    FetchError::Broken(error)
                }
            })
        };
        timeout(within, answer).await.unwrap_or(Err(FetchError::Timeout(within)))
    }
}

fn tls(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth())
}

/// The authorities that the system trusts.
fn roots(what: &str) -> Result<RootCertStore, BroadcastError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(BroadcastError::Config(format!(
            "{what} needs the certificates of authorities, and this system has none: install ca-certificates, or name a \
             file of them by SSL_CERT_FILE"
        )));
    }
    Ok(roots)
}

/// An error with what caused it: the outermost one alone says little.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("host", &self.host()).finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "webhooks"))]
mod tests {
    use super::*;
    use actix_web::{App, HttpResponse, HttpServer, web};

    const WITHIN: Duration = Duration::from_secs(10);

    /// A server whose answers are these; its address.
    fn serve() -> String {
        let redirect =
            || async { HttpResponse::Found().insert_header(("location", "/echo")).body("elsewhere") };
        let server = HttpServer::new(move || {
            App::new()
                .route("/echo", web::route().to(|body: Bytes| async move { body }))
                .route("/moved", web::route().to(redirect))
                .route("/never", web::route().to(std::future::pending::<HttpResponse>))
        });
        let server = server.workers(1).bind("127.0.0.1:0").expect("a free port");
        let address = server.addrs()[0];
        actix_web::rt::spawn(server.run());
        format!("http://{address}")
    }

    async fn post(url: &str, limit: usize, within: Duration) -> Result<Bytes, String> {
        let endpoint = Endpoint::new(url, "the URL").expect("a URL");
        let headers = [("a", "1".to_owned()), ("b", "2".to_owned())];
        endpoint.post(headers, "0123456789".into(), limit, within).await.map_err(|error| error.to_string())
    }

    #[actix_web::test]
    async fn answers_and_why_there_is_none() {
        let server = serve();
        let url = |path: &str| format!("{server}/{path}");
        assert_eq!(post(&url("echo"), 10, WITHIN).await.as_deref(), Ok(&b"0123456789"[..]));
        assert_eq!(post(&url("echo"), 9, WITHIN).await, Err("the answer is longer than 9 bytes".to_owned()));
        assert_eq!(post(&url("moved"), 10, WITHIN).await, Err("it answered 302 Found".to_owned()));
        assert_eq!(post(&url("none"), 10, WITHIN).await, Err("it answered 404 Not Found".to_owned()));
        let late = post(&url("never"), 10, Duration::from_millis(20)).await;
        assert_eq!(late, Err("there was no answer within 20 ms".to_owned()));
        // Nobody listens there, and nobody else can meanwhile.
        let taken =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        taken.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        let address = taken.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
        let refused =
            post(&format!("http://{address}/?key=secret"), 10, WITHIN).await.expect_err("nobody there");
        assert!(refused.contains("Connection refused") && !refused.contains("secret"), "{refused}");
    }

    #[test]
    fn urls_are_looked_at_and_not_repeated() {
        for bad in [
            "",
            "secret",
            "ftp://a/secret",
            "/secret",
            "https://",
            "https://me:secret@a/",
            "http://a b/secret",
        ] {
            let error = Endpoint::new(bad, "--some-url").expect_err(bad).to_string();
            assert!(error.contains("invalid --some-url") && !error.contains("secret"), "{error}");
        }
        for (url, open) in [
            ("http://localhost:1/", false),
            ("http://127.0.0.1/a", false),
            ("http://[::1]/", false),
            ("http://keys.example/", true),
        ] {
            assert_eq!(Endpoint::new(url, "it").expect(url).is_open(), open, "{url}");
        }
    }
}
