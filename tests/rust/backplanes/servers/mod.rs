//! The real servers, each from Debian's package.

pub(crate) mod redis;
