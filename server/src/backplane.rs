//! Which backplane, from one line of settings.

use crate::{BroadcastError, Broadcaster, Histories, MemoryBroadcaster};
#[cfg(feature = "nats")]
use crate::{NatsBroadcaster, NatsOptions};
#[cfg(feature = "redis")]
use crate::{RedisBroadcaster, RedisOptions};
use std::{fmt, str::FromStr, sync::Arc};

/// Which backplane, and where: `memory`, `postgres://…`, `redis://…` or `nats://…`.
#[derive(Clone, PartialEq, Eq)]
pub enum Backplane {
    /// Within this process.
    Memory,
    /// Redis or Valkey.
    #[cfg(feature = "redis")]
    Redis(RedisOptions),
    /// JetStream of NATS.
    #[cfg(feature = "nats")]
    Nats(NatsOptions),
    /// PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres(Box<crate::PostgresOptions>),
}

impl FromStr for Backplane {
    type Err = BroadcastError;

    fn from_str(text: &str) -> Result<Self, BroadcastError> {
        match text.split_once(':').map_or(text, |(scheme, _)| scheme) {
            "memory" => Ok(Self::Memory),
            #[cfg(feature = "redis")]
            "redis" | "rediss" | "valkey" | "valkeys" => RedisOptions::from_url(text).map(Self::Redis),
            #[cfg(feature = "nats")]
            "nats" | "tls" => Ok(Self::Nats(text.parse()?)),
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => Ok(Self::Postgres(Box::new(text.parse()?))),
            scheme => Err(BroadcastError::Config(format!(
                "no backplane {scheme:?}: allowed is {}",
                Self::allowed().join(", ")
            ))),
        }
    }
}

/// Without user and password.
impl fmt::Debug for Backplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            #[cfg(feature = "redis")]
            Self::Redis(options) => options.fmt(f),
            #[cfg(feature = "nats")]
            Self::Nats(options) => options.fmt(f),
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => config.fmt(f),
        }
    }
}

impl Backplane {
    /// What this build allows.
    fn allowed() -> Vec<&'static str> {
        vec![
            "memory",
            #[cfg(feature = "redis")]
            "redis://… (rediss://…)",
            #[cfg(feature = "nats")]
            "nats://… (tls://…)",
            #[cfg(feature = "postgres")]
            "postgres://…",
        ]
    }

    /// What it is, in a word: `memory`, `redis`, `nats` or `postgres`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            #[cfg(feature = "redis")]
            Self::Redis(_) => "redis",
            #[cfg(feature = "nats")]
            Self::Nats(_) => "nats",
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "postgres",
        }
    }

    /// Connects to it; `histories` says how much is kept of each channel.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] names what is wrong: the address, the rights, the version.
    pub async fn connect(&self, histories: Histories) -> Result<Arc<dyn Broadcaster>, BroadcastError> {
        match self {
            Self::Memory => Ok(Arc::new(MemoryBroadcaster::new(histories))),
            #[cfg(feature = "redis")]
            Self::Redis(options) => {
                Ok(Arc::new(RedisBroadcaster::connect(options.clone(), histories).await?))
            }
            #[cfg(feature = "nats")]
            Self::Nats(options) => Ok(Arc::new(NatsBroadcaster::connect(options.clone(), histories).await?)),
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => Ok(Arc::new(config.as_ref().clone().connect(histories).await?)),
        }
    }
}
