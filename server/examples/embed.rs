//! The gateway inside an actix-web application: `cargo run -p tidings-server --example embed`, then connect to
//! `ws://127.0.0.1:8081/_broadcast`, subscribe to `clock`, and get the time once a second.

use actix_web::{App, HttpServer, web};
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidings_server::{Event, Gateway, MemoryBroadcaster};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gateway = Gateway::builder(MemoryBroadcaster::default())
        .authorize("private-*", |channel, subject| async move {
            subject.is_some_and(|s| channel.strip_prefix("private-") == Some(s.id()))
        })
        .build()?;

    let routes = gateway.clone();
    let server = HttpServer::new(move || {
        App::new()
            .route("/", web::get().to(|| async { "an application of its own" }))
            .configure(routes.routes())
    })
    .workers(1)
    .bind("127.0.0.1:8081")?
    .run();
    actix_web::rt::spawn(server);

    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        gateway.publish("clock", Event::new("tick", json!({ "seconds": now }))).await?;
        actix_web::rt::time::sleep(Duration::from_secs(1)).await;
    }
}
