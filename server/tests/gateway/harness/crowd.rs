use super::{Client, Running, sub};
use std::time::{Duration, UNIX_EPOCH};
use tidings_server::{Broadcaster, Builder, Gateway, Subject};

/// Who is behind `USER.TOKEN`, issued at the second that follows the token's id, if one does: `ann.t1.1790000000`.
pub(crate) fn bearer(token: &str) -> Option<Subject> {
    let mut parts = token.split('.');
    let subject = Subject::new(parts.next()?).with_token_id(parts.next()?);
    let issued = parts.next().and_then(|second| second.parse().ok());
    Some(match issued {
        Some(second) => subject.with_issued_at(UNIX_EPOCH + Duration::from_secs(second)),
        None => subject,
    })
}

/// A gateway over `broadcaster`, whose clients are who their token says, in the query or by `auth`. Only who is somebody
/// may read `private-*`.
pub(crate) fn knowing(broadcaster: impl Broadcaster) -> Builder {
    Gateway::builder(broadcaster)
        .authorize("private-*", |_, subject| async move { subject.is_some() })
        .resolve_subject(|request| async move {
            let token = request.query_string().split(['=', '&']).nth(1).filter(|token| !token.is_empty());
            token.map(|token| bearer(token).ok_or("no token")).transpose()
        })
        .resolve_token(|token| async move { bearer(&token) })
}

/// A client that is who `token` says, and reads `private-a`.
pub(crate) async fn known(server: &Running, token: &str) -> Client {
    let mut client = Client::connect_with(server, &format!("?token={token}")).await;
    client.send(sub("private-a")).await;
    let answer = client.next().await;
    assert!(answer.starts_with(r#"{"t":"ok","c":"private-a""#), "{answer}");
    client
}
