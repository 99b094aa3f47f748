//! The real servers, each from its Debian package.

pub(crate) mod postgres;
