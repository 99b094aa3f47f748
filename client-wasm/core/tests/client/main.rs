//! A client against scripts of what happens to it, and against whatever may happen.

mod channels;
mod connection;
mod history;
mod invariants;
mod liveness;
mod outbox;
mod page;
mod positions;
mod promise;
mod script;
mod token;
