//! `tidings token`: a token for a test.

use super::identity::{Demands, Secret};
use clap::Args;
use std::time::Duration;
use tidings_server::{BroadcastError, Grant, RawJson, protocol::Pattern};

/// What the token is to say.
#[derive(Args)]
pub(super) struct Mint {
    #[command(flatten)]
    secret: Secret,

    /// The user's id.
    #[arg(long, value_name = "ID")]
    sub: String,

    /// Channels that the bearer may use: a name, or a prefix with one trailing `*`. May be repeated.
    #[arg(long, value_name = "PATTERN")]
    channels: Vec<Pattern>,

    /// Channels that the bearer may publish to, among those that it may use. May be repeated.
    #[arg(long, value_name = "PATTERN")]
    publish: Vec<Pattern>,

    /// What others may know of the user, as JSON.
    #[arg(long, value_name = "JSON", value_parser = json)]
    info: Option<RawJson>,

    /// How long it is valid: a number with s, m, h or d behind it.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    expires: Duration,

    #[command(flatten)]
    demands: Demands,
}

impl Mint {
    /// The token.
    fn token(self) -> Result<String, BroadcastError> {
        let Some(secret) = self.secret.read()? else {
            let why = "a token needs the secret that it is signed with: --jwt-secret-file, or --jwt-secret";
            return Err(BroadcastError::Config(why.to_owned()));
        };
        let mut grant = Grant::new(self.sub).valid_for(self.expires);
        grant = self.channels.into_iter().fold(grant, Grant::channel);
        grant = self.publish.into_iter().fold(grant, Grant::publish);
        if let Some(info) = self.info {
            grant = grant.info(info);
        }
        // The first of several is as good as another.
        if let Some(issuer) = self.demands.jwt_issuer.into_iter().next() {
            grant = grant.issuer(issuer);
        }
        if let Some(audience) = self.demands.jwt_audience.into_iter().next() {
            grant = grant.audience(audience);
        }
        grant.sign(&secret)
    }
}

/// Prints the token.
pub(super) fn run(options: Mint) -> Result<(), BroadcastError> {
    println!("{}", options.token()?);
    Ok(())
}

fn json(text: &str) -> Result<RawJson, String> {
    serde_json::from_str::<Box<serde_json::value::RawValue>>(text)
        .map(RawJson::from)
        .map_err(|error| error.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    let wanted =
        || format!("{text:?} is no time: wanted is a number with s, m, h or d behind it, such as 90s or 1h");
    let (number, seconds) = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)]
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))
        .ok_or_else(wanted)?;
    let number = number.parse::<u32>().map_err(|_| wanted())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}
