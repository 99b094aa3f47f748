//! What `tidings serve` says when it listens, and what it warns of.

use super::{admin::Admin, serve::Serve};
use std::net::{IpAddr, SocketAddr};

/// Said when the operator's page is not for this machine alone.
const READABLE: &str = "an operator's key crosses the network unencrypted: bind --admin-bind to 127.0.0.1 and come by \
                        way of ssh -L, or put a proxy with TLS in front";

/// Prints where everything is.
pub(super) fn announce(options: &Serve, address: SocketAddr, keys: bool, admin: Option<&Admin>) {
    let listener = &options.listener;
    let secure = if listener.is_secure() { "s" } else { "" };
    let path = &listener.path;
    println!("tidings {} listening on http{secure}://{address}", env!("CARGO_PKG_VERSION"));
    println!("  clients connect to  ws{secure}://{address}{path}");
    println!("  or listen by        http{secure}://{address}{}/sse?channel=…", path.trim_end_matches('/'));
    let who = if keys { "with an API key" } else { "from this machine only" };
    println!("  backends publish by POST http{secure}://{address}/api/publish, {who}");
    match admin {
        Some(Admin { address, page, .. }) => {
            if *page {
                println!("  operators look at   http://{address}/, with an admin key");
            }
            println!("  metrics and probes  http://{address}/metrics, /livez, /readyz");
        }
        None => println!("  metrics             http{secure}://{address}/metrics, from this machine only"),
    }
    if let Some(dir) = &listener.static_dir {
        println!("  static files        {}", dir.display());
    }
    if admin.is_some_and(|admin| admin.page && !admin.address.ip().to_canonical().is_loopback()) {
        tracing::warn!("{READABLE}");
    }
    for warning in warnings(options, address.ip()) {
        tracing::warn!("{warning}");
    }
}

/// What an operator may not have meant.
fn warnings(options: &Serve, ip: IpAddr) -> Vec<&'static str> {
    let public = !ip.to_canonical().is_loopback();
    let mut warnings = Vec::new();
    if public && !options.listener.is_secure() {
        warnings.push(
            "what clients say and hear crosses the network unencrypted, unless a proxy in front does TLS: see --tls-cert",
        );
    }
    if public {
        warnings.push(
            "whoever reaches this address may subscribe to every channel but private-* and presence-*, unless rules \
             say otherwise",
        );
    }
    if options.clients.allow_origin.iter().any(|origin| origin == "*") {
        warnings.push("pages of every origin may connect: --allow-origin is *");
    }
    if options.clients.allow_client_publish.iter().any(|pattern| pattern.to_string() == "*") {
        warnings.push(
            "whoever connects may publish to every channel that it may use: --allow-client-publish is *",
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Cli, Command};
    use clap::Parser;

    fn warned(flags: &[&str], ip: &str) -> Vec<&'static str> {
        let words = ["tidings", "serve"].iter().chain(flags);
        let Command::Serve(options) = Cli::try_parse_from(words).expect("a command").command else {
            panic!("another command")
        };
        warnings(&options, ip.parse().expect("an address"))
    }

    #[test]
    fn only_what_is_true() {
        assert_eq!(warned(&[], "127.0.0.1"), [""; 0]);
        assert_eq!(warned(&["--allow-origin", "https://a.example"], "::1"), [""; 0]);
        assert_eq!(warned(&[], "::ffff:127.0.0.1"), [""; 0]);
        for public in ["0.0.0.0", "::", "192.0.2.1"] {
            let warnings = warned(&[], public);
            assert!(warnings[0].contains("unencrypted") && warnings[1].contains("subscribe"), "{warnings:?}");
        }
        let open = warned(&["--allow-origin", "*", "--allow-client-publish", "*"], "127.0.0.1");
        assert!(open[0].contains("origin") && open[1].contains("publish"), "{open:?}");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn with_tls_nothing_is_unencrypted() {
        let warnings = warned(&["--tls-cert", "c", "--tls-key", "k"], "0.0.0.0");
        assert!(warnings.iter().all(|warning| !warning.contains("unencrypted")), "{warnings:?}");
    }
}
