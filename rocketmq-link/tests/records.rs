//! Sending and pulling on a real broker.

use std::time::Duration;

use rocketmq_link::{Error, Options, Outgoing, Queue, RocketMq, Sent};
use servers::RocketMq as Server;

const WITHIN: Duration = Duration::from_secs(20);

fn client(server: &Server) -> RocketMq {
    RocketMq::new(Options { name_servers: vec![server.name_server()], response_timeout: WITHIN })
}

fn outgoing(size: usize, filling: u8) -> Outgoing {
    Outgoing { key: "a conversation".into(), body: vec![filling; size].into() }
}

/// The sizes and fillings of the next messages.
async fn pull(client: &RocketMq, queue: &Queue, mut next: u64, count: usize) -> Vec<(usize, u8)> {
    let mut found = Vec::new();
    while found.len() < count {
        let pulled = client.pull(queue, next, WITHIN).await.expect("a broker");
        found.extend(pulled.messages.iter().map(|(_, body)| (body.len(), body[0])));
        next = pulled.next;
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_is_pulled_in_order_and_what_is_too_large_is_named() {
    let server = Server::start().await;
    let client = client(&server);
    assert_eq!(client.queues("records").await, Err(Error::NoTopic("records".into())));
    client.make("records", 2).await.expect("a broker");
    client.make("records", 7).await.expect("it is there already");
    let queues = client.queues("records").await.expect("it was made");
    assert_eq!(queues.iter().map(|queue| queue.id).collect::<Vec<_>>(), [0, 1]);
    let queue = &queues[1];
    assert_eq!(client.end(queue).await, Ok(0));
    // Two batches, one that goes alone, one that the broker and one that no frame takes.
    let sizes = [100, 300_000, 300_000, 7, 2_000_000, 9 << 20, 1, 16 << 20, 2];
    let messages: Vec<_> = (1..).zip(sizes).map(|(filling, size)| outgoing(size, filling)).collect();
    assert_eq!(
        client.send(queue, &messages, WITHIN).await,
        Ok(Sent { too_large: vec![5, 7], less_safe: None })
    );
    assert_eq!(client.end(queue).await, Ok(7));
    let expected: Vec<_> = messages
        .iter()
        .map(|message| (message.body.len(), message.body[0]))
        .filter(|(size, _)| *size < 9 << 20)
        .collect();
    assert_eq!(pull(&client, queue, 0, 7).await, expected);
    let beyond = client.pull(queue, 70, Duration::from_millis(100)).await;
    assert!(matches!(beyond, Err(Error::Moved { next: 7 | 0 })), "{beyond:?}");
    let empty = client.pull(&queues[0], 0, Duration::from_millis(100)).await.expect("a broker");
    assert_eq!((empty.messages.len(), empty.next), (0, 0));
    assert_eq!(client.append(&queues[0], &outgoing(3, 1), WITHIN).await, Ok(0));
    assert_eq!(client.append(&queues[0], &outgoing(3, 2), WITHIN).await, Ok(1));
    assert_eq!(pull(&client, &queues[0], 1, 1).await, [(3, 2)]);
}
