//! Asks the sentinels who the primary is.

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use redis::{FromRedisValue as _, Value};
use tokio::time::timeout;

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
    let mut question = redis::cmd("SENTINEL");
    question.arg("MASTER").arg(&options.primary_name);
    let answer = connection.ask(&question, options.connect_timeout).await?;
    understand(answer).ok_or_else(|| {
        LinkError::Unavailable(format!(
            "the sentinel {sentinel} does not say where {:?} is",
            options.primary_name
        ))
    })
}

fn understand(answer: Value) -> Option<Opinion> {
    let fields = HashMap::<String, String>::from_redis_value(answer).ok()?;
    let port = fields.get("port")?.parse().ok()?;
    let primary = address(fields.get("ip")?, port).into();
    Some(Opinion { primary, epoch: fields.get("config-epoch")?.parse().ok()? })
}
