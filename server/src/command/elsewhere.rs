//! What is answered where nothing is: who has lost the way is told where everything is.

use actix_web::{
    HttpResponse,
    web::{self, ServiceConfig},
};
use serde_json::Value;

/// Answers every path that nothing else answers; `path` is where clients connect.
pub(super) fn configure(path: &str) -> impl FnOnce(&mut ServiceConfig) + use<> {
    let detail = format!(
        "nothing is at this path: clients connect to {path}, backends publish by POST /api/publish, and \
         /api/openapi.json says what else there is"
    );
    let detail = Value::from(detail);
    let body = format!(
        r#"{{"type":"about:blank","title":"Not Found","status":404,"code":"request.path","detail":{detail}}}"#
    ) + "\n";
    move |config| {
        config.default_service(web::to(move || {
            let body = body.clone();
            async { HttpResponse::NotFound().content_type("application/problem+json").body(body) }
        }));
    }
}
