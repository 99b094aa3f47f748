//! HTTP requests to the application, signed so that it knows who asks.

mod answers;
mod authorize;
mod backlog;
mod notify;
mod signature;
mod turns;

pub use authorize::AuthorizeWebhook;
pub use notify::NotifyWebhook;
