//! The real servers, each from Debian's package.

pub(crate) mod nats;
pub(crate) mod postgres;
pub(crate) mod redis;
