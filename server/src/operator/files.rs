//! The page's files, which are in the program, and what a browser is told with them.

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS},
    web::{self, ServiceConfig},
};

/// Nothing but the page's own files and the listener that it came from. The client is WebAssembly.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// Path, type and text.
const FILES: [(&str, &str, &str); 14] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/page/page.css", CSS, include_str!("page/page.css")),
    ("/page/icon.svg", IMAGE, include_str!("page/icon.svg")),
    ("/page/main.js", SCRIPT, include_str!("page/main.js")),
    ("/page/door.js", SCRIPT, include_str!("page/door.js")),
    ("/page/line.js", SCRIPT, include_str!("page/line.js")),
    ("/page/gauges.js", SCRIPT, include_str!("page/gauges.js")),
    ("/page/figures.js", SCRIPT, include_str!("page/figures.js")),
    ("/page/channels.js", SCRIPT, include_str!("page/channels.js")),
    ("/page/tail.js", SCRIPT, include_str!("page/tail.js")),
    ("/page/connections.js", SCRIPT, include_str!("page/connections.js")),
    ("/page/watch.js", SCRIPT, include_str!("page/watch.js")),
    ("/page/dom.js", SCRIPT, include_str!("page/dom.js")),
    // What `cargo xtask pack` makes of the client.
    ("/page/tidings.js", SCRIPT, include_str!("page/tidings.js")),
];

pub(super) fn routes(config: &mut ServiceConfig) {
    for (path, kind, text) in FILES {
        config.route(path, web::get().to(move || async move { file(kind, text) }));
    }
}

fn file(kind: &'static str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, kind))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((X_FRAME_OPTIONS, "DENY"))
        .insert_header(("x-content-type-options", "nosniff"))
        .insert_header(("cross-origin-resource-policy", "same-origin"))
        .body(text)
}
