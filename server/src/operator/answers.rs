//! What the page asks for by HTTP: lists, which are different for everybody, and orders.

use super::{
    Operators,
    board::{Line, Sort},
};
use crate::{
    Target,
    api::{
        accepted,
        query::{number, query},
        target,
    },
    metrics::Metrics,
    names::check_channel,
    problem::Problem,
    roll::{self, Order, Question},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::CACHE_CONTROL},
    web::Payload,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Rows of a list at most, and when nothing is said.
const MAX_ROWS: u64 = 1_000;
const ROWS: u64 = 200;

/// Bytes of a text that is looked for: no id of a user is longer.
const MAX_TEXT: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    text: String,
    sort: Option<String>,
    limit: Option<String>,
    channel: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    channel: String,
}

/// A channel, as an operator sees it.
#[derive(Serialize)]
struct Closer<'a> {
    channel: &'a str,
    subscribers: usize,
    rate: Option<f64>,
    epoch: Option<&'a str>,
    offset: Option<u64>,
    /// Events that those who follow it were not handed.
    skipped: u64,
}

/// `GET /operator/figures`
pub(super) fn figures(operators: &Operators) -> HttpResponse {
    json(&Metrics::figures(&operators.gateway, operators.backplane))
}

/// `GET /operator/channels`
pub(super) fn channels(operators: &Operators, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let wanted: Wanted = query(request, "text, sort and limit")?;
    if wanted.channel.is_some() {
        return Err(invalid("channel: the parameters here are text, sort and limit".to_owned()));
    }
    let (text, limit) = (wanted.text()?, wanted.limit()?);
    let sort = match wanted.sort.as_deref() {
        None | Some("subscribers") => Sort::Subscribers,
        Some("rate") => Sort::Rate,
        Some("name") => Sort::Name,
        Some(other) => return Err(no_sort(other, "subscribers, rate and name")),
    };
    Ok(json(&operators.look().page(&text, sort, limit)))
}

/// `GET /operator/channel`
pub(super) async fn channel(operators: &Operators, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let Named { channel } = query(request, "channel")?;
    let page = operators.gateway.history(&channel, None, 1).await?;
    let end = page.as_ref().map(|page| &page.end);
    let rate = operators.look().line(&channel).and_then(|line: &Line| line.rate);
    Ok(json(&Closer {
        channel: &channel,
        subscribers: operators.gateway.subscriber_count(&channel),
        rate,
        epoch: end.map(|end| &*end.epoch),
        offset: end.map(|end| end.offset),
        skipped: operators.followed.skipped(&channel).unwrap_or_default(),
    }))
}

/// `GET /operator/connections`
pub(super) async fn connections(
    operators: &Operators,
    request: &HttpRequest,
) -> Result<HttpResponse, Problem> {
    let wanted: Wanted = query(request, "text, channel, sort and limit")?;
    let (text, limit) = (wanted.text()?, wanted.limit()?);
    let order = match wanted.sort.as_deref() {
        None | Some("newest") => Order::Newest,
        Some("oldest") => Order::Oldest,
        Some("queued") => Order::Queued,
        Some(other) => return Err(no_sort(other, "newest, oldest and queued")),
    };
    let channel = wanted.channel.map(|channel| {
        check_channel(&channel).map_err(|error| Problem::from(error).at("channel"))?;
        Ok::<Arc<str>, Problem>(channel.into())
    });
    let question = Question { text, channel: channel.transpose()?, order, limit };
    Ok(json(&roll::call(&operators.gateway.shared.hubs, question).await))
}

/// `POST /operator/disconnect`
pub(super) async fn disconnect(
    operators: &Operators,
    operator: &str,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let target = target(&operators.gateway, request, payload).await?;
    operators.gateway.disconnect(target.clone()).await?;
    match target {
        Target::Client(client) => tracing::info!(operator, %client, "an operator disconnects a client"),
        Target::User(user) => tracing::info!(operator, user = &*user, "an operator disconnects a user"),
        Target::Token(_) => tracing::info!(operator, "an operator disconnects the clients of a token"),
    }
    Ok(accepted())
}

impl Wanted {
    fn text(&self) -> Result<String, Problem> {
        if self.text.len() > MAX_TEXT {
            return Err(invalid(format!("invalid text: allowed are up to {MAX_TEXT} bytes")).at("text"));
        }
        Ok(self.text.trim().to_lowercase())
    }

    fn limit(&self) -> Result<usize, Problem> {
        Ok(number("limit", self.limit.as_deref(), 1..=MAX_ROWS)?.unwrap_or(ROWS) as usize)
    }
}

fn no_sort(sort: &str, allowed: &str) -> Problem {
    invalid(format!("invalid sort {sort:?}: allowed are {allowed}")).at("sort")
}

fn invalid(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

fn json(answer: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(answer)
}
