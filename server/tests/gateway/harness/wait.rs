//! What tests wait for, and how long.

use std::{future::Future, time::Duration};
use tokio::{
    runtime::Builder,
    time::{sleep, timeout},
};

/// No test waits this long, unless what it waits for never comes.
const DEADLINE: Duration = Duration::from_secs(300);

/// Runs a test.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { timeout(DEADLINE, test).await.expect("in time") });
}

/// Waits until `condition` holds. For what the gateway shows but does not announce.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE / 2, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}
