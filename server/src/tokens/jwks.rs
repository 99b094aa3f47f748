//! A set of keys that is published at a URL, and may change there.

use super::{
    TokenError,
    jws::Jws,
    key::{KeyError, Keys},
};
use crate::{
    BroadcastError,
    fetch::{Endpoint, FetchError},
};
use parking_lot::Mutex;
use std::{
    fmt,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::{
    sync::Mutex as AsyncMutex,
    task::{AbortHandle, spawn},
    time::sleep,
};
use tracing::{debug, warn};

/// How long the answer may take, and how many bytes it may have.
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 256 * 1024;

/// How often the keys are fetched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// As long as nothing else asks for them.
    pub(super) regular: Duration,
    /// At the least between two attempts.
    pub(super) least: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { regular: Duration::from_secs(300), least: Duration::from_secs(10) }
    }
}

/// The keys as they were last published. They stay while the URL does not answer.
pub(super) struct Jwks {
    endpoint: Endpoint,
    pace: Pace,
    keys: Mutex<Arc<Keys>>,
    /// When they were last asked for. Held while they are.
    asked: AsyncMutex<Option<Instant>>,
    refresh: Mutex<Option<AbortHandle>>,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Jwks {
    pub(super) fn new(url: &str, pace: Pace) -> Result<Arc<Self>, BroadcastError> {
        let endpoint = Endpoint::new(url, "URL of a set of keys")?;
        let keys = Mutex::new(Arc::new(Keys::none()));
        Ok(Arc::new(Self { endpoint, pace, keys, asked: AsyncMutex::default(), refresh: Mutex::default() }))
    }

    /// Fetches the keys for the first time.
    pub(super) async fn prepare(self: &Arc<Self>) {
        if self.endpoint.is_open() {
            let host = self.endpoint.host();
            warn!(host, "the set of keys comes over plain HTTP: who changes it on its way makes tokens");
        }
        let before = self.keys();
        let fetched = self.renew(&before).await;
        self.go_on(fetched);
    }

    /// Sees to it that the keys are fetched from time to time, on this thread's runtime.
    fn go_on(self: &Arc<Self>, fetched: bool) {
        let task = &mut *self.refresh.lock();
        if task.as_ref().is_none_or(AbortHandle::is_finished) {
            *task = Some(spawn(refresh(Arc::downgrade(self), fetched)).abort_handle());
        }
    }

    fn keys(&self) -> Arc<Keys> {
        self.keys.lock().clone()
    }

    /// Whether one of the keys has signed the token. For a key that is not known they are fetched again.
    pub(super) async fn check(self: &Arc<Self>, token: &Jws<'_>) -> Result<(), TokenError> {
        self.go_on(false);
        let keys = self.keys();
        match keys.check(token) {
            Err(TokenError::UnknownKey) if self.renew(&keys).await => self.keys().check(token),
            known => known,
        }
    }

    /// Gets newer keys than `before`, unless that was tried just now. Whether there are any.
    async fn renew(self: &Arc<Self>, before: &Arc<Keys>) -> bool {
        let (jwks, before) = (self.clone(), before.clone());
        // A client that goes meanwhile does not end it for the others.
        spawn(async move { jwks.fetch_newer(&before).await }).await.unwrap_or(false)
    }

    async fn fetch_newer(&self, before: &Arc<Keys>) -> bool {
        let mut asked = self.asked.lock().await;
        if !Arc::ptr_eq(&self.keys(), before) {
            return true;
        }
        let now = Instant::now();
        if asked.is_some_and(|then| now < then + self.pace.least) {
            return false;
        }
        *asked = Some(now);
        match self.fetch().await {
            Ok(keys) => {
                debug!(host = self.endpoint.host(), ?keys, "the set of keys was fetched");
                *self.keys.lock() = Arc::new(keys);
                true
            }
            Err(error) => {
                warn!(host = self.endpoint.host(), %error, "the set of keys was not fetched: the old ones stay");
                false
            }
        }
    }

    async fn fetch(&self) -> Result<Keys, Failure> {
        let json = self.endpoint.get(MAX_BYTES, PATIENCE).await?;
        Ok(Keys::set(&json)?)
    }
}

async fn refresh(jwks: Weak<Jwks>, mut fetched: bool) {
    loop {
        let Some(Pace { regular, least }) = jwks.upgrade().map(|jwks| jwks.pace) else { return };
        sleep(if fetched { regular } else { least }).await;
        let Some(jwks) = jwks.upgrade() else { return };
        let before = jwks.keys();
        fetched = jwks.renew(&before).await;
    }
}

impl Drop for Jwks {
    fn drop(&mut self) {
        if let Some(task) = self.refresh.get_mut() {
            task.abort();
        }
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks")
            .field("endpoint", &self.endpoint)
            .field("keys", &self.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::known, *};
    use actix_web::{App, HttpResponse, HttpServer, http::StatusCode, web};
    use futures_util::FutureExt;
    use serde_json::{Value, json};

    /// Never by itself.
    const STILL: Duration = Duration::from_secs(100_000);

    /// Publishes keys, or does not.
    #[derive(Clone)]
    struct Publisher(Arc<Mutex<(StatusCode, String, usize)>>);

    impl Publisher {
        /// A publisher of these keys; its address.
        fn start(keys: &[&Value]) -> (Self, String) {
            let publisher = Self(Arc::new(Mutex::new((StatusCode::OK, String::new(), 0))));
            publisher.publish(keys);
            let served = publisher.clone();
            let server = HttpServer::new(move || {
                let served = served.clone();
                App::new().default_service(web::to(move || {
                    let (status, body, asked) = &mut *served.0.lock();
                    *asked += 1;
                    let response = HttpResponse::build(*status).body(body.clone());
                    async { response }
                }))
            });
            let server = server.workers(1).bind("127.0.0.1:0").expect("a free port");
            let url = format!("http://{}/jwks.json", server.addrs()[0]);
            actix_web::rt::spawn(server.run());
            (publisher, url)
        }

        fn publish(&self, keys: &[&Value]) {
            let keys: Vec<_> = keys.iter().map(|key| &key["jwk"]).collect();
            let state = &mut *self.0.lock();
            (state.0, state.1) = (StatusCode::OK, json!({ "keys": keys }).to_string());
        }

        fn fail(&self, status: StatusCode, body: &str) {
            let state = &mut *self.0.lock();
            (state.0, state.1) = (status, body.to_owned());
        }

        fn asked(&self) -> usize {
            self.0.lock().2
        }
    }

    async fn start(url: &str, pace: Pace) -> Arc<Jwks> {
        let jwks = Jwks::new(url, pace).expect("a URL");
        jwks.prepare().await;
        jwks
    }

    async fn check(jwks: &Arc<Jwks>, key: &Value) -> Option<TokenError> {
        let token = key["token"].as_str().expect("a token");
        jwks.check(&Jws::parse(token).expect("a token")).await.err()
    }

    #[actix_web::test]
    async fn a_new_key_is_fetched_when_a_token_names_it() {
        let known = known();
        let (old, new) = (&known["ed25519"], &known["another"]);
        let (publisher, url) = Publisher::start(&[old]);
        let pace = Pace { regular: STILL, least: Duration::ZERO };
        let jwks = start(&url, pace).await;
        assert_eq!((check(&jwks, old).await, publisher.asked()), (None, 1));
        publisher.publish(&[old, new]);
        assert_eq!((check(&jwks, new).await, publisher.asked()), (None, 2));
        assert_eq!((check(&jwks, old).await, publisher.asked()), (None, 2));
        publisher.publish(&[new]);
        assert_eq!(
            (check(&jwks, &known["p256"]).await, publisher.asked()),
            (Some(TokenError::UnknownKey), 3)
        );
        assert_eq!(check(&jwks, new).await, None);
        publisher.fail(StatusCode::OK, "");
        assert_eq!(check(&jwks, old).await, Some(TokenError::UnknownKey));
    }

    #[actix_web::test]
    async fn unknown_keys_do_not_make_it_ask_often() {
        let known = known();
        let (publisher, url) = Publisher::start(&[&known["ed25519"]]);
        let jwks = start(&url, Pace { regular: STILL, least: STILL }).await;
        publisher.publish(&[&known["another"]]);
        for _ in 0..10 {
            assert_eq!(check(&jwks, &known["another"]).await, Some(TokenError::UnknownKey));
        }
        assert_eq!(publisher.asked(), 1);
    }

    #[actix_web::test]
    async fn many_who_wait_for_a_key_ask_once() {
        let known = known();
        let (publisher, url) = Publisher::start(&[&known["ed25519"]]);
        let jwks = start(&url, Pace { regular: STILL, least: Duration::ZERO }).await;
        publisher.publish(&[&known["another"]]);
        let checks = (0..10).map(|_| check(&jwks, &known["another"]));
        assert_eq!(futures_util::future::join_all(checks).await, vec![None; 10]);
        assert_eq!(publisher.asked(), 2);
    }

    #[actix_web::test]
    async fn who_goes_while_they_are_fetched_does_not_end_it() {
        let known = known();
        let (publisher, url) = Publisher::start(&[&known["ed25519"]]);
        let jwks = Jwks::new(&url, Pace { regular: STILL, least: STILL }).expect("a URL");
        assert_eq!(check(&jwks, &known["ed25519"]).now_or_never(), None);
        assert_eq!((check(&jwks, &known["ed25519"]).await, publisher.asked()), (None, 1));
    }

    #[actix_web::test]
    async fn the_old_keys_stay_while_there_are_no_new_ones() {
        let known = known();
        let (old, new) = (&known["ed25519"], &known["another"]);
        let (publisher, url) = Publisher::start(&[old]);
        let pace = Pace { regular: STILL, least: Duration::ZERO };
        let jwks = start(&url, pace).await;
        for (status, body) in [
            (StatusCode::INTERNAL_SERVER_ERROR, r#"{"keys": []}"#),
            (StatusCode::OK, "<html>"),
            (StatusCode::OK, r#"{"keys": []}"#),
            (StatusCode::OK, &"x".repeat(MAX_BYTES + 1)),
        ] {
            publisher.fail(status, body);
            let asked = publisher.asked();
            assert_eq!(check(&jwks, new).await, Some(TokenError::UnknownKey));
            assert_eq!((check(&jwks, old).await, publisher.asked()), (None, asked + 1));
        }
    }

    #[actix_web::test]
    async fn the_first_token_fetches_them_when_nobody_has() {
        let known = known();
        let (publisher, url) = Publisher::start(&[&known["rsa"]]);
        let jwks = Jwks::new(&url, Pace { regular: STILL, least: STILL }).expect("a URL");
        assert_eq!((check(&jwks, &known["rsa"]).await, publisher.asked()), (None, 1));
    }

    #[actix_web::test]
    async fn keys_that_are_not_there_at_first_are_fetched_later() {
        let known = known();
        let (publisher, url) = Publisher::start(&[]);
        let pace = Pace { regular: STILL, least: Duration::from_millis(1) };
        let jwks = start(&url, pace).await;
        publisher.publish(&[&known["rsa"]]);
        // By itself: what is asked for here has no key's name, and waits for nobody.
        while format!("{:?}", jwks.keys()) != "[Rs256]" {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(check(&jwks, &known["rsa"]).await, None);
    }

    #[actix_web::test]
    async fn it_asks_again_by_itself_until_it_is_dropped() {
        let known = known();
        let (publisher, url) = Publisher::start(&[&known["ed25519"]]);
        let pace = Pace { regular: Duration::from_millis(1), least: Duration::ZERO };
        let jwks = start(&url, pace).await;
        publisher.publish(&[&known["rsa"]]);
        while format!("{:?}", jwks.keys()) != "[Rs256]" {
            sleep(Duration::from_millis(1)).await;
        }
        let task = jwks.refresh.lock().clone().expect("a task");
        drop(jwks);
        while !task.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}
