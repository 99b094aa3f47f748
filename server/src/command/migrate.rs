//! `tidings migrate`.

use super::{
    events::{Ledger, Link},
    failure::Failure,
    logging::Logging,
};
use clap::Args;
use std::path::PathBuf;
use tidings_server::{Backplane, BroadcastError};

#[derive(Args)]
pub(super) struct Migrate {
    /// A file of settings, of which the ones below count.
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    config: Option<PathBuf>,

    #[command(flatten)]
    link: Link,

    #[command(flatten)]
    ledger: Ledger,

    /// Print the SQL instead of running it.
    #[arg(long)]
    print: bool,
}

pub(super) fn run(options: &Migrate) -> Result<(), Failure> {
    Logging::default().start();
    let Backplane::Postgres(config) = options.link.backplane()? else {
        let wanted = "only PostgreSQL needs it: wanted is --backplane postgres://…";
        return Err(BroadcastError::Config(wanted.to_owned()).into());
    };
    let config = config.table(&options.ledger.postgres_table)?;
    if options.print {
        print!("BEGIN;\n{}COMMIT;\n", config.migration());
        return Ok(());
    }
    actix_rt::System::new().block_on(config.migrate())?;
    println!("the ledger {} is there", options.ledger.postgres_table);
    Ok(())
}
