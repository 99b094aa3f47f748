//! `tidings health`.

use super::{
    Command,
    caller::{Caller, Trust},
    failure::Failure,
    listener::Listener,
    settings,
};
use clap::Args;
use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

#[derive(Args)]
pub(super) struct Health {
    /// The gateway [default: the one on this machine with the settings of --config and the environment]
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// The file of the gateway's settings.
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    config: Option<PathBuf>,

    /// How long to wait for the answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 3_000)]
    timeout_ms: u64,
}

/// Fails when the gateway is not ready, and says why.
pub(super) fn run(options: &Health, environment: &[(OsString, OsString)]) -> Result<(), Vec<Failure>> {
    let (url, trust) = match &options.url {
        Some(url) => (url.clone(), Trust::Authorities),
        None => own(options, environment)?,
    };
    let caller = Caller::new(&url, Duration::from_millis(options.timeout_ms), trust);
    let ready = caller.and_then(|caller| caller.get("/readyz")).map_err(|error| vec![error.into()])?;
    println!("{}", ready.trim_end());
    Ok(())
}

/// Where the gateway with these settings listens.
fn own(options: &Health, environment: &[(OsString, OsString)]) -> Result<(String, Trust), Vec<Failure>> {
    let mut words: Vec<OsString> = vec!["tidings".into(), "serve".into()];
    if let Some(path) = &options.config {
        words.extend(["--config".into(), path.into()]);
    }
    let (cli, settings) = settings::read(&words, environment).unwrap_or_else(|error| error.exit());
    match cli.command {
        Command::Serve(serve) if settings.mistakes.is_empty() => Ok((url(&serve.listener), Trust::Anyone)),
        _ => Err(settings.mistakes.into_iter().map(Failure::Setting).collect()),
    }
}

fn url(listener: &Listener) -> String {
    let scheme = if listener.is_secure() { "https" } else { "http" };
    format!("{scheme}://{}", reachable(listener.bind))
}

/// An address by which this machine reaches a listener on `bind`.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bind.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_this_machine() {
        for (bind, asked) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("192.0.2.1:80", "192.0.2.1:80")]
        {
            assert_eq!(reachable(bind.parse().expect("an address")).to_string(), asked);
        }
    }
}
