//! Asks a cluster who owns which slots.

use std::{collections::HashSet, sync::Arc};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use rand::seq::SliceRandom as _;
use redis::Value;
use tokio::time::timeout;

use crate::{
    LinkError, RedisOptions,
    call::SLOTS,
    connection::{Connection, Login, text},
    options::{address, host_and_port},
};

/// How many servers are asked at once; the first one that answers counts.
const ASKED_AT_ONCE: usize = 3;

/// Who owns which slots.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots {
    /// Primaries and replicas.
    servers: Arc<HashSet<Arc<str>>>,
    /// By slot; empty, or one for each.
    owners: Arc<Vec<Option<Arc<str>>>>,
}

impl Slots {
    pub(crate) fn owner(&self, slot: u16) -> Option<Arc<str>> {
        self.owners.get(usize::from(slot)).cloned().flatten()
    }

    pub(crate) fn contains(&self, server: &str) -> bool {
        self.servers.contains(server)
    }
}

/// Who owns which slots, as one of the servers sees it: some that were known last, some of the options.
///
/// # Errors
/// [`LinkError::Unavailable`]: none answers within `connect_timeout`.
pub(super) async fn ask(options: Arc<RedisOptions>, former: Option<Slots>) -> Result<Slots, LinkError> {
    let mut servers: HashSet<Arc<str>> =
        options.servers.iter().map(|server| server.as_str().into()).collect();
    servers.extend(former.iter().flat_map(|former| former.servers.iter().cloned()));
    let mut servers: Vec<_> = servers.into_iter().collect();
    servers.shuffle(&mut rand::rng());
    let mut waiting = servers.into_iter();
    let mut asked: FuturesUnordered<_> =
        waiting.by_ref().take(ASKED_AT_ONCE).map(|server| view(&options, server)).collect();
    let mut errors = Vec::new();
    let gathering = async {
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(slots) => return Some(slots),
                Err(error) => errors.push(error.to_string()),
            }
            asked.extend(waiting.next().map(|server| view(&options, server)));
        }
        None
    };
    match timeout(options.connect_timeout, gathering).await {
        Ok(Some(slots)) => Ok(slots),
        _ => Err(LinkError::Unavailable(format!(
            "no server of the cluster says who owns which slots: {}",
            errors.join("; ")
        ))),
    }
}

async fn view(options: &RedisOptions, server: Arc<str>) -> Result<Slots, LinkError> {
    let connection = Connection::open(options, server.clone(), Login::Server, None).await?;
    let mut question = redis::cmd("CLUSTER");
    question.arg("SLOTS");
    let answer = connection.ask(&question, options.connect_timeout).await?;
    understand(&answer, &server).ok_or_else(|| {
        LinkError::Unavailable(format!("{server} says that nobody owns any slots: is the cluster made?"))
    })
}

/// `[[first, last, [host, port, ..], replica..]..]`: the primary stands first. `None` where no slot has an owner.
fn understand(answer: &Value, asked: &str) -> Option<Slots> {
    let Value::Array(ranges) = answer else { return None };
    let mut servers = HashSet::new();
    let mut owners = vec![None; usize::from(SLOTS)];
    for range in ranges {
        let Value::Array(parts) = range else { continue };
        let [Value::Int(first), Value::Int(last), nodes @ ..] = parts.as_slice() else { continue };
        let (Ok(first), Ok(last)) = (usize::try_from(*first), usize::try_from(*last)) else { continue };
        let mut nodes = nodes.iter().filter_map(|node| node_address(node, asked));
        let Some(primary) = nodes.next() else { continue };
        let owned = owners.get_mut(first..=last)?;
        owned.fill(Some(primary.clone()));
        servers.insert(primary);
        servers.extend(nodes);
    }
    let nothing = servers.is_empty();
    (!nothing).then(|| Slots { servers: Arc::new(servers), owners: Arc::new(owners) })
}

/// A node that does not know its own address gives none: it is where it was asked.
fn node_address(node: &Value, asked: &str) -> Option<Arc<str>> {
    let Value::Array(parts) = node else { return None };
    let [host, Value::Int(port), ..] = parts.as_slice() else { return None };
    let host = text(host).filter(|host| !host.is_empty() && host != "?");
    let host = host.or_else(|| Some(host_and_port(asked)?.0.to_owned()))?;
    Some(address(&host, u16::try_from(*port).ok()?).into())
}
