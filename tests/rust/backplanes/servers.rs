//! The real servers, as Debian has them.

pub(crate) mod redis;
