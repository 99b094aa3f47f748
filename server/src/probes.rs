//! What an orchestrator asks: whether the gateway lives, and whether it wants clients.

use crate::{Gateway, problem::problem};
use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{self, ServiceConfig},
};

impl Gateway {
    /// The probes, for [`App::configure`](actix_web::App::configure): `GET /livez` answers 200 as long as the process does
    /// anything; `GET /readyz` answers 503 with the reason while the backplane cannot be used and while the gateway sends
    /// its clients away, otherwise 200.
    pub fn probes(&self) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let gateway = self.clone();
        move |config| {
            let ready = move || {
                let answer = match gateway.unready() {
                    None => HttpResponse::Ok().body("ready\n"),
                    Some(reason) => problem(StatusCode::SERVICE_UNAVAILABLE, &reason),
                };
                async move { answer }
            };
            config.route("/livez", web::get().to(|| async { "alive\n" }));
            config.route("/readyz", web::get().to(ready));
        }
    }

    /// Why no clients should be sent here at this moment.
    pub(crate) fn unready(&self) -> Option<String> {
        if self.shared.is_closing() {
            return Some("the gateway is stopping".to_owned());
        }
        self.shared.broadcaster.unavailable()
    }
}
