//! Who clients are and what they may do, as the command line says.

use clap::Args;
#[cfg(feature = "webhooks")]
use std::time::Duration;
use std::{
    fs,
    path::{Path, PathBuf},
};
#[cfg(feature = "webhooks")]
use tidings_server::{AuthorizeWebhook, NotifyWebhook, Who};
use tidings_server::{BroadcastError, Builder, Policy, Rule, Tokens, protocol::Pattern};

/// The secret that tokens are signed with.
#[derive(Args)]
pub(super) struct Secret {
    /// Takes tokens (JWT) that are signed with HS256 and this secret of 32 bytes or more. Other users of this machine
    /// can read it in the list of processes: better is a file.
    #[arg(long, value_name = "SECRET")]
    jwt_secret: Option<String>,

    /// The same, from a file; the end of the line does not count.
    #[arg(long, value_name = "FILE")]
    jwt_secret_file: Option<PathBuf>,
}

/// What a token must say.
#[derive(Args)]
pub(super) struct Demands {
    /// The `iss` of tokens. May be repeated, for one of several [default: any]
    #[arg(long, value_name = "ISSUER")]
    pub(super) jwt_issuer: Vec<String>,

    /// The `aud` of tokens. May be repeated, for one of several [default: a token without]
    #[arg(long, value_name = "AUDIENCE")]
    pub(super) jwt_audience: Vec<String>,
}

/// Who clients are and what they may do.
#[derive(Args)]
#[command(next_help_heading = "Tokens and rules")]
pub(super) struct Identity {
    #[command(flatten)]
    secret: Secret,

    /// Takes tokens that are signed with RS256, ES256 or EdDSA and the other half of a public key in this PEM file. It may
    /// have several keys.
    #[arg(long, value_name = "FILE")]
    jwt_public_key: Option<PathBuf>,

    /// Takes tokens that are signed with a key of the set (JWKS) at this URL. It is fetched every five minutes, and when a
    /// token names a key that is not in it.
    #[arg(long, value_name = "URL")]
    jwt_jwks: Option<String>,

    #[command(flatten)]
    demands: Demands,

    /// A cookie to take the token from, when it is neither in the header `Authorization: Bearer` nor in the query as `token`.
    /// Not together with `--allow-origin '*'`.
    #[arg(long, value_name = "NAME")]
    jwt_cookie: Option<String>,

    /// Takes tokens without `exp`, which are valid for ever.
    #[arg(long)]
    jwt_no_expiry: bool,

    /// Who may use the channels of a pattern: `public`, `authenticated`, `claim` (the token's `channels`), `webhook` or
    /// `deny`. May be repeated; the pattern that fits best counts. One that ends with `{sub}`, such as
    /// `private-user.{sub}=authenticated`, means the user whose id is the end of the channel's name. Channels without a rule
    /// are public; `private-*` and `presence-*` are for whose token has them in `channels`.
    #[arg(long, value_name = "PATTERN=WHO")]
    rule: Vec<Rule>,

    #[cfg(feature = "webhooks")]
    #[command(flatten)]
    webhook: Webhook,
}

/// The application, over HTTP.
#[cfg(feature = "webhooks")]
#[derive(Args)]
#[command(next_help_heading = "Webhooks")]
struct Webhook {
    /// Where the application is asked about channels with the rule `webhook`. Needs `--webhook-secret-file`.
    #[arg(long, value_name = "URL")]
    authorize_url: Option<String>,

    /// How long its answer may take, in milliseconds; after that the client is told `authorization failed`.
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    authorize_timeout_ms: u64,

    /// How long its answer holds, in milliseconds; 0 asks each time.
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(..=3_600_000))]
    authorize_cache_ms: u64,

    /// Where the application is told which channels have got their first subscriber on this gateway, and which have lost their
    /// last one. Needs `--webhook-secret-file`.
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,

    /// What requests to the application are signed with: 32 bytes or more. Other users of this machine can read it in the
    /// list of processes: better is a file.
    #[arg(long, value_name = "SECRET")]
    webhook_secret: Option<String>,

    /// The same, from a file; the end of the line does not count.
    #[arg(long, value_name = "FILE")]
    webhook_secret_file: Option<PathBuf>,
}

impl Secret {
    /// The secret; `None` when none is given.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>, BroadcastError> {
        one("--jwt-secret", self.jwt_secret.as_deref(), self.jwt_secret_file.as_deref())
    }
}

/// A secret that is given by one of two options.
fn one(name: &str, value: Option<&str>, file: Option<&Path>) -> Result<Option<Vec<u8>>, BroadcastError> {
    match (value, file) {
        (Some(_), Some(_)) => {
            Err(wrong(format!("{name} and {name}-file are both given: allowed is one of them")))
        }
        (Some(value), None) => Ok(Some(value.as_bytes().to_vec())),
        (None, Some(file)) => {
            let mut secret = read(&format!("{name}-file"), file)?;
            secret.truncate(secret.trim_ascii_end().len());
            Ok(Some(secret))
        }
        (None, None) => Ok(None),
    }
}

fn read(name: &str, file: &Path) -> Result<Vec<u8>, BroadcastError> {
    fs::read(file).map_err(|error| wrong(format!("cannot read {name} {}: {error}", file.display())))
}

fn wrong(text: String) -> BroadcastError {
    BroadcastError::Config(text)
}

/// An error with the option that it is about.
fn about(option: &str) -> impl Fn(BroadcastError) -> BroadcastError {
    move |error| wrong(format!("{option}: {error}"))
}

/// What was said, read as far as it can be without a connection.
pub(super) struct Plan {
    tokens: Option<Tokens>,
    policy: Policy,
    #[cfg(feature = "webhooks")]
    notify: Option<NotifyWebhook>,
}

impl Plan {
    /// Fetches keys that are published, and says what is likely to be an oversight.
    pub(super) async fn prepare(&self) {
        if let Some(rule) = self.policy.opens_private() {
            tracing::warn!(%rule, "a rule opens channels that start with private- or presence- as well: say \
                private-*=claim and presence-*=claim to keep them closed");
        }
        if let Some(tokens) = &self.tokens {
            tokens.prepare().await;
        }
    }

    pub(super) fn apply(self, builder: Builder) -> Builder {
        let builder = match self.tokens {
            Some(tokens) => builder.tokens(tokens),
            None => builder,
        };
        #[cfg(feature = "webhooks")]
        let builder = match self.notify {
            Some(webhook) => builder.notify(webhook),
            None => builder,
        };
        builder.policy(self.policy)
    }
}

impl Identity {
    /// Who clients are and what they may do, or everything that is wrong with that. They may publish to the channels of
    /// `open`, and where their tokens say so. Connects to nothing.
    pub(super) fn plan(
        &self,
        open: &[Pattern],
        allowed_origins: &[String],
    ) -> Result<Plan, Vec<BroadcastError>> {
        let mut mistakes = Vec::new();
        let mut note = |mistake| mistakes.push(mistake);
        if self.jwt_cookie.is_some() && allowed_origins.iter().any(|origin| origin == "*") {
            note(wrong(
                "--jwt-cookie with --allow-origin '*' would let every page connect as whoever visits it: name the origins"
                    .to_owned(),
            ));
        }
        let tokens = self.tokens().map_err(&mut note);
        let policy = self.policy().map_err(&mut note);
        if let (Ok(None), Ok(policy)) = (&tokens, &policy) {
            self.unused(policy).into_iter().for_each(&mut note);
        }
        #[cfg(feature = "webhooks")]
        let notify = self.webhook.notify().map_err(&mut note);
        #[cfg(feature = "webhooks")]
        self.webhook.unused().into_iter().for_each(&mut note);
        match (tokens, policy) {
            (Ok(tokens), Ok(policy)) if mistakes.is_empty() => Ok(Plan {
                tokens,
                policy: open.iter().cloned().fold(policy, Policy::client_publish),
                #[cfg(feature = "webhooks")]
                notify: notify.unwrap_or_default(),
            }),
            _ => Err(mistakes),
        }
    }

    fn tokens(&self) -> Result<Option<Tokens>, BroadcastError> {
        let secret = self.secret.read()?;
        let mut tokens = match (secret, &self.jwt_public_key, &self.jwt_jwks) {
            (None, None, None) => return Ok(None),
            (Some(secret), None, None) => Tokens::secret(&secret).map_err(about("--jwt-secret"))?,
            (None, Some(file), None) => {
                let pem = read("--jwt-public-key", file)?;
                Tokens::public_keys(&pem).map_err(about("--jwt-public-key"))?
            }
            (None, None, Some(url)) => Tokens::jwks(url).map_err(about("--jwt-jwks"))?,
            _ => {
                let why = "--jwt-secret, --jwt-public-key and --jwt-jwks are different ways to check tokens: allowed is one";
                return Err(wrong(why.to_owned()));
            }
        };
        for issuer in &self.demands.jwt_issuer {
            tokens = tokens.issuer(issuer);
        }
        for audience in &self.demands.jwt_audience {
            tokens = tokens.audience(audience);
        }
        if let Some(name) = &self.jwt_cookie {
            tokens = tokens.cookie(name);
        }
        Ok(Some(if self.jwt_no_expiry { tokens.without_expiry() } else { tokens }))
    }

    /// What is about tokens, when there are none.
    fn unused(&self, policy: &Policy) -> Vec<BroadcastError> {
        let options = [
            ("--jwt-issuer", !self.demands.jwt_issuer.is_empty()),
            ("--jwt-audience", !self.demands.jwt_audience.is_empty()),
            ("--jwt-cookie", self.jwt_cookie.is_some()),
            ("--jwt-no-expiry", self.jwt_no_expiry),
        ];
        let given = options.into_iter().filter(|(_, given)| *given).map(|(option, _)| option.to_owned());
        let rule = policy.needs_subject().map(|rule| format!("--rule {rule}=…"));
        let needs = "needs tokens: --jwt-secret-file, --jwt-public-key or --jwt-jwks";
        given.chain(rule).map(|option| wrong(format!("{option} {needs}"))).collect()
    }

    #[cfg(not(feature = "webhooks"))]
    fn policy(&self) -> Result<Policy, BroadcastError> {
        Policy::new(self.rule.clone()).map_err(about("--rule"))
    }

    #[cfg(feature = "webhooks")]
    fn policy(&self) -> Result<Policy, BroadcastError> {
        let rules = self.rule.clone();
        match self.webhook.authorize()? {
            Some(webhook) => Policy::with_webhook(rules, webhook).map_err(about("--authorize-url")),
            None if rules.iter().any(|rule| rule.who() == Who::Webhook) => {
                Err(wrong("--rule PATTERN=webhook needs --authorize-url: whom to ask".to_owned()))
            }
            None => Policy::new(rules).map_err(about("--rule")),
        }
    }
}

#[cfg(feature = "webhooks")]
impl Webhook {
    fn secret(&self, option: &str) -> Result<Vec<u8>, BroadcastError> {
        let given =
            one("--webhook-secret", self.webhook_secret.as_deref(), self.webhook_secret_file.as_deref())?;
        given.ok_or_else(|| {
            wrong(format!("{option} needs --webhook-secret-file: how the application knows the gateway"))
        })
    }

    fn authorize(&self) -> Result<Option<AuthorizeWebhook>, BroadcastError> {
        let Some(url) = &self.authorize_url else { return Ok(None) };
        let secret = self.secret("--authorize-url")?;
        let webhook = AuthorizeWebhook::new(url, &secret).map_err(about("--authorize-url"))?;
        let webhook = webhook.timeout(Duration::from_millis(self.authorize_timeout_ms));
        Ok(Some(webhook.keep(Duration::from_millis(self.authorize_cache_ms))))
    }

    fn notify(&self) -> Result<Option<NotifyWebhook>, BroadcastError> {
        let Some(url) = &self.webhook_url else { return Ok(None) };
        let secret = self.secret("--webhook-url")?;
        NotifyWebhook::new(url, &secret).map(Some).map_err(about("--webhook-url"))
    }

    /// The secret, when there is nobody to send something to.
    fn unused(&self) -> Option<BroadcastError> {
        let secret = self.webhook_secret.is_some() || self.webhook_secret_file.is_some();
        let unused = secret && self.authorize_url.is_none() && self.webhook_url.is_none();
        unused.then(|| {
            wrong("--webhook-secret needs --authorize-url or --webhook-url: whom to send to".to_owned())
        })
    }
}
