//! Asks the sentinels who the primary is, and how it is.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use redis::{FromRedisValue as _, Value};
use tokio::time::timeout;

use super::lease::Report;
use crate::{
    LinkError, RedisOptions,
    connection::{Connection, Login},
    options::address,
};

/// What one sentinel says.
#[derive(Debug)]
struct Opinion {
    primary: Arc<str>,
    /// Grows with every failover.
    epoch: u64,
}

/// The primary. All sentinels are asked at once, and of the first answers of a majority the one that knows of the latest
/// failover counts, or of fewer where the others do not answer within `connect_timeout`: so neither a sentinel that hangs
/// nor one that was cut off decides.
///
/// # Errors
/// [`LinkError::Unavailable`]: none answers, or none knows the primary by this name.
pub(super) async fn primary(options: Arc<RedisOptions>) -> Result<Arc<str>, LinkError> {
    let mut asked: FuturesUnordered<_> =
        options.servers.iter().map(|sentinel| opinion(&options, sentinel.as_str().into())).collect();
    let majority = options.servers.len() / 2 + 1;
    let mut best: Option<Opinion> = None;
    let mut answers = 0;
    let mut errors = Vec::new();
    let gathering = async {
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(opinion) => {
                    answers += 1;
                    if best.as_ref().is_none_or(|best| best.epoch < opinion.epoch) {
                        best = Some(opinion);
                    }
                    if answers == majority {
                        return;
                    }
                }
                Err(error) => errors.push(error.to_string()),
            }
        }
    };
    if timeout(options.connect_timeout, gathering).await.is_err() {
        errors.push(format!("no answer within {:?}", options.connect_timeout));
    }
    match best {
        Some(best) => Ok(best.primary),
        None => Err(LinkError::Unavailable(format!("no sentinel knows the primary: {}", errors.join("; ")))),
    }
}

async fn opinion(options: &RedisOptions, sentinel: Arc<str>) -> Result<Opinion, LinkError> {
    let connection = Connection::open(options, sentinel.clone(), Login::Sentinel, None).await?;
    let fields = look(&connection, options).await?;
    fields.and_then(|fields| understand(&fields)).ok_or_else(|| {
        LinkError::Unavailable(format!(
            "the sentinel {sentinel} does not say where {:?} is",
            options.primary_name
        ))
    })
}

/// What it says on a connection that is there; `None` where that cannot be understood.
///
/// # Errors
/// [`LinkError::Unavailable`]: it does not answer within `connect_timeout`.
pub(super) async fn report(
    connection: &Connection,
    options: &RedisOptions,
) -> Result<Option<Report>, LinkError> {
    let fields = look(connection, options).await?;
    Ok(fields.and_then(|fields| report_of(&fields)))
}

type Fields = HashMap<String, String>;

async fn look(connection: &Connection, options: &RedisOptions) -> Result<Option<Fields>, LinkError> {
    let mut question = redis::cmd("SENTINEL");
    question.arg("MASTER").arg(&options.primary_name);
    let answer: Value = connection.ask(&question, options.connect_timeout).await?;
    Ok(Fields::from_redis_value(answer).ok())
}

fn primary_of(fields: &Fields) -> Option<Arc<str>> {
    let port = fields.get("port")?.parse().ok()?;
    Some(address(fields.get("ip")?, port).into())
}

fn understand(fields: &Fields) -> Option<Opinion> {
    Some(Opinion { primary: primary_of(fields)?, epoch: fields.get("config-epoch")?.parse().ok()? })
}

fn report_of(fields: &Fields) -> Option<Report> {
    const NOT_FINE: [&str; 3] = ["s_down", "o_down", "disconnected"];
    let flags = fields.get("flags")?.split(',');
    let number = |name: &str| fields.get(name)?.parse::<u64>().ok();
    let milliseconds = |name: &str| number(name).map(Duration::from_millis);
    let count = |name: &str| number(name).and_then(|count| usize::try_from(count).ok());
    Some(Report {
        primary: primary_of(fields)?,
        is_fine: !flags.clone().any(|flag| NOT_FINE.contains(&flag)),
        is_replacing: flags.clone().any(|flag| flag == "failover_in_progress"),
        answered: milliseconds("last-ok-ping-reply")?,
        down_after: milliseconds("down-after-milliseconds")?,
        quorum: count("quorum")?,
        others: count("num-other-sentinels")?,
    })
}
