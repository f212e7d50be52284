//! Where queues are, and what name servers say of topics and brokers.

use std::{collections::HashMap, sync::Arc};

use serde::Deserialize;

/// The broker of a name that is written to.
const PRIMARY: &str = "0";
/// The bits of `perm`: a queue may be read and written.
const READ_AND_WRITE: u32 = 4 + 2;

/// A queue of a topic, on one broker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Queue {
    /// Its topic.
    pub topic: Arc<str>,
    /// The name of the broker, which stays when its address changes.
    pub broker: Arc<str>,
    /// Its number there, from 0 on.
    pub id: u32,
    /// `host:port` of the broker.
    pub address: Arc<str>,
}

impl Queue {
    /// Whether both are the same queue, wherever its broker is.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.topic, &self.broker, self.id) == (&other.topic, &other.broker, other.id)
    }
}

/// A broker that can be written to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Broker {
    pub(crate) name: Arc<str>,
    pub(crate) address: Arc<str>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BrokerData {
    broker_name: Arc<str>,
    #[serde(default)]
    broker_addrs: HashMap<String, Arc<str>>,
}

/// What a name server says of a topic (`GET_ROUTEINFO_BY_TOPIC`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Route {
    #[serde(default)]
    broker_datas: Vec<BrokerData>,
    #[serde(default)]
    queue_datas: Vec<QueueData>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueueData {
    broker_name: Arc<str>,
    read_queue_nums: u32,
    write_queue_nums: u32,
    perm: u32,
}

impl Route {
    /// The queues that can be read and written, of brokers that are there.
    pub(crate) fn queues(&self, topic: &Arc<str>) -> impl Iterator<Item = Queue> {
        self.queue_datas.iter().filter(|data| data.perm & READ_AND_WRITE == READ_AND_WRITE).flat_map(
            move |data| {
                let broker = self.broker_datas.iter().find(|broker| broker.broker_name == data.broker_name);
                let address = broker.and_then(|broker| broker.broker_addrs.get(PRIMARY));
                let count = data.read_queue_nums.min(data.write_queue_nums);
                address.into_iter().flat_map(move |address| {
                    (0..count).map(move |id| Queue {
                        topic: topic.clone(),
                        broker: data.broker_name.clone(),
                        id,
                        address: address.clone(),
                    })
                })
            },
        )
    }
}

/// What a name server says of the brokers (`GET_BROKER_CLUSTER_INFO`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cluster {
    #[serde(default)]
    broker_addr_table: HashMap<String, BrokerData>,
}

impl Cluster {
    /// Those that can be written to.
    pub(crate) fn brokers(self) -> impl Iterator<Item = Broker> {
        self.broker_addr_table.into_values().filter_map(|mut data| {
            let address = data.broker_addrs.remove(PRIMARY)?;
            Some(Broker { name: data.broker_name, address })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loose;

    #[test]
    fn a_route_gives_the_queues_of_brokers_that_are_there() {
        let route: Route = loose::from_slice(
            br#"{"brokerDatas":[{"brokerAddrs":{0:"h:1",1:"h:2"},"brokerName":"a","cluster":"c"},{"brokerAddrs":{1:"h:3"},"brokerName":"b"}],
            "filterServerTable":{},"queueDatas":[{"brokerName":"a","perm":6,"readQueueNums":3,"topicSysFlag":0,"writeQueueNums":2},
            {"brokerName":"b","perm":6,"readQueueNums":1,"writeQueueNums":1},{"brokerName":"a","perm":4,"readQueueNums":9,"writeQueueNums":9}]}"#,
        )
        .expect("a route");
        let queues: Vec<_> = route
            .queues(&"t".into())
            .map(|queue| (queue.broker.to_string(), queue.id, queue.address.to_string()))
            .collect();
        assert_eq!(queues, [("a".into(), 0, "h:1".into()), ("a".into(), 1, "h:1".into())]);
    }

    #[test]
    fn a_cluster_gives_the_brokers_that_are_written_to() {
        let cluster: Cluster = loose::from_slice(
            br#"{"brokerAddrTable":{"a":{"brokerAddrs":{0:"h:1"},"brokerName":"a"},"b":{"brokerAddrs":{1:"h:2"},"brokerName":"b"}},"clusterAddrTable":{"c":["a","b"]}}"#,
        )
        .expect("a cluster");
        let names: Vec<_> = cluster.brokers().map(|broker| broker.name.to_string()).collect();
        assert_eq!(names, ["a"]);
    }
}
