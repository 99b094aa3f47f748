//! `tidings serve`.

#[cfg(feature = "tokens")]
use super::identity::{self, Identity};
use super::{
    admin::Operators,
    announcement,
    api::Api,
    clients::Clients,
    elsewhere,
    events::Events,
    failure::Failure,
    limits::Limits,
    listener::{Certificate, Listener},
    logging::Logging,
    signals,
};
use clap::Args;
use std::{num::NonZero, path::PathBuf};
use tidings_server::{ApiKeys, Backplane, Broadcaster, Builder, Config, Gateway, MemoryBroadcaster, Server};

/// All settings of a gateway.
#[derive(Args)]
pub(super) struct Serve {
    /// A file of settings in TOML; `tidings config --example` prints one.
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    config: Option<PathBuf>,

    #[command(flatten)]
    pub(super) listener: Listener,

    #[command(flatten)]
    pub(super) clients: Clients,

    #[cfg(feature = "tokens")]
    #[command(flatten)]
    identity: Identity,

    #[command(flatten)]
    pub(super) events: Events,

    #[command(flatten)]
    api: Api,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    operators: Operators,

    #[command(flatten)]
    logging: Logging,
}

/// What the settings say, read as far as it can be without a connection.
pub(super) struct Plan {
    backplane: Backplane,
    certificate: Certificate,
    /// With none, the HTTP API is for this machine only.
    keys: Option<ApiKeys>,
    /// With none, there is no operator's page.
    admin_keys: Option<ApiKeys>,
    #[cfg(feature = "tokens")]
    identity: Option<identity::Plan>,
}

impl Serve {
    /// What is to be served, or everything that is wrong with it. Listens nowhere and connects to nothing.
    pub(super) fn plan(&self) -> Result<Plan, Vec<Failure>> {
        let mut failures = Vec::new();
        let mut note = |failure| failures.push(failure);
        let _ = self.builder(MemoryBroadcaster::default()).build().map_err(|error| note(error.into()));
        let _ = self.listener.check_folder().map_err(&mut note);
        let certificate = self.listener.certificate().map_err(&mut note);
        let backplane = self.events.backplane().map_err(&mut note);
        let keys = self.api.keys().map_err(|wrong| wrong.into_iter().for_each(&mut note));
        let admin_keys = self.operators.keys().map_err(|wrong| wrong.into_iter().for_each(&mut note));
        #[cfg(feature = "tokens")]
        let identity = self
            .identity
            .plan(&self.clients.allow_client_publish, &self.clients.allow_origin)
            .map_err(|mistakes| mistakes.into_iter().map(Failure::from).for_each(&mut note))
            .ok();
        match (certificate, backplane, keys, admin_keys) {
            (Ok(certificate), Ok(backplane), Ok(keys), Ok(admin_keys)) if failures.is_empty() => Ok(Plan {
                backplane,
                certificate,
                keys,
                admin_keys,
                #[cfg(feature = "tokens")]
                identity,
            }),
            _ => Err(failures),
        }
    }

    fn builder(&self, broadcaster: impl Broadcaster) -> Builder {
        let mut config = Config::default();
        config.path.clone_from(&self.listener.path);
        self.clients.configure(&mut config);
        self.api.configure(&mut config);
        self.limits.configure(&mut config);
        self.clients.apply(Gateway::builder(broadcaster).config(config))
    }
}

/// Runs a gateway until it is told to stop.
pub(super) fn run(options: Serve) -> Result<(), Vec<Failure>> {
    options.logging.start();
    let plan = options.plan()?;
    actix_rt::System::new().block_on(serve(options, plan)).map_err(|failure| vec![failure])
}

async fn serve(options: Serve, plan: Plan) -> Result<(), Failure> {
    // Each connection is a file; most systems start a program with room for 1,024.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let Plan { backplane, certificate, keys, admin_keys, .. } = plan;
    let builder = options.builder(backplane.connect(options.events.histories()).await?);
    #[cfg(feature = "tokens")]
    let builder = match plan.identity {
        Some(identity) => {
            identity.prepare().await;
            identity.apply(builder)
        }
        None => builder,
    };
    let gateway = builder.build()?;
    let address = options.listener.bind;
    let mut server =
        Server::bind(gateway.clone(), address).map_err(|source| Failure::Bind { address, source })?;
    if let Some(workers) = options.listener.workers.and_then(NonZero::new) {
        server = server.workers(workers.into());
    }
    server = certificate.secure(server);
    let stop = signals::stop()?;
    signals::reload(certificate)?;
    let admin = options.operators.listen(&gateway, admin_keys, &backplane)?;
    announcement::announce(&options, server.address()?, keys.is_some(), admin.as_ref());
    let Listener { static_dir, path, .. } = options.listener;
    let configure = move |config: &mut actix_web::web::ServiceConfig| {
        config.configure(gateway.probes());
        config.configure(gateway.local_metrics());
        match &keys {
            Some(keys) => config.configure(gateway.api(keys.clone())),
            None => config.configure(gateway.local_api()),
        };
        match &static_dir {
            Some(dir) => config.service(actix_files::Files::new("/", dir).index_file("index.html")),
            None => config.configure(elsewhere::configure(&path)),
        };
    };
    server.run(configure, stop).await?;
    tracing::info!("stopped");
    Ok(())
}
