//! A page for operators: what goes on, channels and their events, connections and a way to end them.
//!
//! Its figures and events come over a WebSocket, from a small gateway beside the one that it is about; [`desk`] is that
//! one's broadcaster. Lists are asked for by HTTP. Whoever has none of the keys gets neither.

mod answers;
mod board;
mod desk;
mod files;

use crate::{
    ApiKeys, BroadcastError, Config, Event, Gateway, Limits, Metrics, Subject,
    api::door::Door,
    problem::{Problem, only},
};
use actix_rt::task::JoinHandle;
use actix_web::{
    HttpRequest, HttpResponse, Resource, Route,
    web::{self, Payload, ServiceConfig},
};
use board::Board;
use desk::{Desk, FIGURES, Followed, TAIL};
use parking_lot::{Mutex, MutexGuard};
use std::{
    fmt,
    future::ready,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval};

/// How often the figures are told.
const EVERY: Duration = Duration::from_secs(1);

/// Whoever reaches the listener may open a WebSocket, and say a key on it: so many at the same time.
const CONNECTIONS: usize = 1_000;

/// A page for the operators of a [`Gateway`]. A clone is the same page; when the last one is dropped, its figures end.
///
/// It is meant for a listener of its own, where only operators come: the page is at `/`, its files under `/page/`, what it
/// asks for under `/operator/` and at `/_broadcast`. All but the files wants one of its keys.
#[derive(Clone)]
pub struct OperatorPage {
    operators: Arc<Operators>,
    desk: Gateway,
    _ticker: Arc<Ticker>,
}

/// What the page's answers are made from.
struct Operators {
    gateway: Gateway,
    backplane: &'static str,
    door: Door,
    followed: Arc<Followed>,
    board: Mutex<Board>,
    began: Instant,
}

impl fmt::Debug for OperatorPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorPage")
    }
}

impl OperatorPage {
    /// A page about `gateway` for whoever has one of `keys`. `backplane` is what it says of the backplane beside whether
    /// it can be used: a word such as `redis`. From now on the figures are told once a second, to nobody at first: who
    /// comes sees the last five minutes. To be called where actix's runtime runs.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] when the settings do not fit together, which does not happen with those of this version.
    pub fn new(gateway: &Gateway, keys: ApiKeys, backplane: &'static str) -> Result<Self, BroadcastError> {
        let desk = Desk::new(gateway.clone());
        let followed = desk.followed();
        let known = keys.clone();
        let config = Config {
            limits: Limits { connections: CONNECTIONS, frame_bytes: 4 * 1_024, ..Limits::default() },
            ..Config::default()
        };
        let an_operator = |_, subject: Option<Subject>| ready(subject.is_some());
        let desk = Gateway::builder(desk)
            .config(config)
            .resolve_token(move |token| ready(known.name_of(token.as_bytes()).map(Subject::new)))
            .authorize("*", |_, _| ready(false))
            .authorize(FIGURES, an_operator)
            .authorize(&format!("{TAIL}*"), an_operator)
            .build()?;
        let operators = Operators {
            gateway: gateway.clone(),
            backplane,
            door: Door::keys(keys),
            followed,
            board: Mutex::default(),
            began: Instant::now(),
        };
        let ticker = Ticker(actix_rt::spawn(tick(gateway.clone(), backplane, desk.clone())));
        Ok(Self { operators: Arc::new(operators), desk, _ticker: Arc::new(ticker) })
    }

    /// The page's routes, for [`App::configure`](actix_web::App::configure).
    pub fn routes(&self) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let Self { operators, desk, .. } = self.clone();
        move |config| {
            config.configure(desk.routes()).configure(files::routes);
            config
                .service(get("/operator/figures", &operators, async |operators, _| {
                    Ok(answers::figures(operators))
                }))
                .service(get("/operator/channels", &operators, async |operators, request| {
                    answers::channels(operators, request)
                }))
                .service(get("/operator/channel", &operators, async |operators, request| {
                    answers::channel(operators, request).await
                }))
                .service(get("/operator/connections", &operators, async |operators, request| {
                    answers::connections(operators, request).await
                }))
                .service(resource("/operator/disconnect", "POST", disconnect(operators)));
        }
    }
}

impl Operators {
    /// The channels as they are now, or were a moment ago.
    fn look(&self) -> MutexGuard<'_, Board> {
        let mut board = self.board.lock();
        let now = self.began.elapsed().as_millis() as u64;
        board.look(now, || self.gateway.shared.upstreams.traffic());
        board
    }
}

/// Tells the figures as long as it lives.
struct Ticker(JoinHandle<()>);

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn tick(gateway: Gateway, backplane: &'static str, desk: Gateway) {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let figures = Metrics::figures(&gateway, backplane);
        if desk.publish(FIGURES, Event::new(FIGURES, figures)).await.is_err() {
            return;
        }
    }
}

fn get<F>(path: &str, operators: &Arc<Operators>, answer: F) -> Resource
where
    F: AsyncFn(&Operators, &HttpRequest) -> Result<HttpResponse, Problem> + Copy + 'static,
{
    let operators = operators.clone();
    let handler = move |request: HttpRequest| {
        let operators = operators.clone();
        async move {
            if let Err(refusal) = operators.door.admit(&request) {
                return *refusal;
            }
            answer(&operators, &request).await.unwrap_or_else(|problem| problem.respond())
        }
    };
    resource(path, "GET", web::get().to(handler))
}

fn disconnect(operators: Arc<Operators>) -> Route {
    web::post().to(move |request: HttpRequest, body: Payload| {
        let operators = operators.clone();
        async move {
            // Before the body is read: a stranger's is not.
            let operator = match operators.door.admit(&request) {
                Ok(operator) => operator.unwrap_or_default(),
                Err(refusal) => return *refusal,
            };
            let answer = answers::disconnect(&operators, operator, &request, body).await;
            answer.unwrap_or_else(|problem| problem.respond())
        }
    })
}

fn resource(path: &str, allowed: &'static str, route: Route) -> Resource {
    web::resource(path).route(route).default_service(web::to(move || ready(only(allowed))))
}
