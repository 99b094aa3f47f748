//! Who is the master.

use super::options::RedisOptions;
use redis::{AsyncConnectionConfig, cmd};

/// Where the master is, as the first Sentinel says that answers; `None` when there are no Sentinels to ask.
///
/// # Errors
/// What each of them said.
pub(super) async fn master(options: &RedisOptions) -> Result<Option<(String, u16)>, String> {
    if options.sentinels.is_empty() {
        return Ok(None);
    }
    // One that is silent leaves time for the others, and for the master.
    let patience = options.timeout / (options.sentinels.len() as u32 + 1);
    let mut problems = Vec::new();
    for (host, port) in &options.sentinels {
        let said = match tokio::time::timeout(patience, ask(options, host, *port)).await {
            Ok(Ok(Some(address))) => return Ok(Some(address)),
            Ok(Ok(None)) => format!("knows no master {:?}", options.master),
            Ok(Err(problem)) => problem,
            Err(_) => format!("no answer within {patience:?}"),
        };
        problems.push(format!("Sentinel {host}:{port}: {said}"));
    }
    Err(problems.join("; "))
}

async fn ask(options: &RedisOptions, host: &str, port: u16) -> Result<Option<(String, u16)>, String> {
    let client = options.sentinel((host.to_owned(), port)).map_err(|error| error.to_string())?;
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let connected = client.get_multiplexed_async_connection_with_config(&config).await;
    let mut connection = connected.map_err(|error| error.to_string())?;
    let mut question = cmd("SENTINEL");
    question.arg("get-master-addr-by-name").arg(&options.master);
    question.query_async(&mut connection).await.map_err(|error| error.to_string())
}
