//! A gateway for real-time channels on the web, to embed in an actix-web application or to run as it is.
//!
//! A [`Gateway`] holds the clients' connections and speaks the protocol with them. Events come from a
//! [`Broadcaster`]: [`MemoryBroadcaster`] within one process, [`PostgresBroadcaster`], [`RedisBroadcaster`] or
//! [`NatsBroadcaster`] between many ([`Backplane`] is any of them, from one URL). The application says who a client is
//! ([`Builder::resolve_subject`], [`Builder::resolve_token`]), which channels it may use ([`Builder::authorize`]) and what it may publish
//! ([`Builder::allow_client_publish`]). Or it says nothing, and leaves that to tokens and rules: see `Tokens` and `Policy`.
//!
//! Mount [`Gateway::routes`] in any actix-web `App`, or let [`Server`] serve it: the same routes, at a fraction of
//! the memory and time per connection.
//!
//! ```no_run
//! use serde_json::json;
//! use tidings_server::{Event, Gateway, MemoryBroadcaster, Server};
//!
//! #[actix_web::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let gateway = Gateway::builder(MemoryBroadcaster::default())
//!         .allow_client_publish(|context| async move { context.channel.starts_with("chat.") })
//!         .build()?;
//!     let server = Server::bind(gateway.clone(), ([127, 0, 0, 1], 8080).into())?;
//!     actix_web::rt::spawn(async move {
//!         gateway.publish("orders.42", Event::new("order.paid", json!({"amount": 4900}))).await
//!     });
//!     server.run(|_| (), std::future::pending()).await?;
//!     Ok(())
//! }
//! ```
//!
//! In `Cargo.toml`, beside `actix-web` and `serde_json`, with the path to a checkout:
//!
//! ```toml
//! tidings-server = { path = "../tidings/server", default-features = false, features = ["tokens"] }
//! ```
//!
//! # Features
//!
//! All are on unless `default-features = false`, which leaves the gateway in memory: `postgres`, `redis` and `nats` are
//! drivers of backplanes, `tokens` JSON Web Tokens and rules, `webhooks` an application that is asked over HTTP, `tls` the
//! encryption of [`Server`], and `binary` the `tidings` command, which no library needs.

mod api;
mod auth;
#[cfg(any(feature = "redis", feature = "nats", feature = "postgres"))]
mod authorities;
mod backlog;
#[cfg(any(feature = "redis", feature = "nats", feature = "postgres"))]
mod backoff;
mod backplane;
mod batch;
mod broadcaster;
mod bucket;
mod config;
mod connections;
mod control;
#[cfg(any(feature = "redis", feature = "nats"))]
mod envelope;
mod error;
mod event;
#[cfg(feature = "tokens")]
mod fetch;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
mod gateway;
mod guard;
mod handshake;
mod history;
mod hub;
mod job;
#[cfg(any(feature = "redis", feature = "nats", feature = "postgres"))]
mod listeners;
mod mailbox;
mod memory;
mod metrics;
mod names;
#[cfg(feature = "nats")]
mod nats;
mod operator;
mod origin;
mod outbox;
mod patience;
mod peeked;
mod peers;
#[cfg(feature = "tokens")]
mod policy;
#[cfg(feature = "postgres")]
mod postgres;
mod probes;
mod problem;
#[cfg(feature = "redis")]
mod redis;
mod revocations;
mod roll;
#[cfg(feature = "tls")]
mod secure;
mod server;
pub mod session;
mod socket;
mod sse;
#[doc(hidden)]
pub mod subscribers;
#[doc(hidden)]
pub mod tail;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tokens")]
mod tokens;
mod upgrade;
mod upstream;
#[cfg(feature = "webhooks")]
mod webhooks;
mod wire;
mod worker;

#[cfg(feature = "redis")]
pub use self::redis::{RedisBroadcaster, RedisOptions};
pub use api::{ApiKey, ApiKeys};
pub use auth::{Authorization, IntoAuthorization, IntoSubject, IntoVerdict, PublishContext, Subject};
pub use backplane::Backplane;
pub use broadcaster::{Broadcaster, Notice, Sink, Subscription};
pub use config::{Config, Expiry, Limits};
pub use control::Target;
pub use error::{BoxError, BroadcastError};
pub use event::{Delivery, Event, Place, Position, Published, RawJson};
pub use gateway::{Builder, Gateway};
pub use history::{Histories, History, Page, Range};
pub use memory::MemoryBroadcaster;
pub use metrics::Metrics;
#[cfg(feature = "nats")]
pub use nats::{NatsBroadcaster, NatsLogin, NatsOptions};
pub use operator::OperatorPage;
#[cfg(feature = "tokens")]
pub use policy::{Policy, Rule, Who};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresBroadcaster, PostgresOptions};
pub use revocations::Revocation;
pub use server::Server;
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};
#[cfg(feature = "tokens")]
pub use tokens::{Claims, Grant, TokenError, Tokens};
#[cfg(feature = "webhooks")]
pub use webhooks::{AuthorizeWebhook, NotifyWebhook};

pub use tidings_protocol as protocol;
