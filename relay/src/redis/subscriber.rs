//! Keeps one subscription alive on a connection of its own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis_link::{Connection, Link as RedisLink, LinkError, Mode, pause, redis::cmd};
use tokio::time;

use super::{inbox::Inbox, sharded};

/// Between two looks whether the server still answers: one that is frozen, or cut off, closes no connection.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long such an answer may take, where `response_timeout` is not less: with [`HEARTBEAT`] that is how long a subscription may look
/// fine and not be, and leaves a second of three to subscribe again.
const BEAT_WITHIN: Duration = Duration::from_secs(1);

/// One subscription's side towards Redis.
#[derive(Debug)]
pub(super) struct Subscriber {
    link: RedisLink,
    channel: String,
    inbox: Arc<Inbox>,
}

/// A connection that is subscribed.
#[derive(Debug)]
pub(super) struct Connected {
    connection: Connection,
    number: u64,
    since: Instant,
}

impl Subscriber {
    pub(super) fn new(link: RedisLink, channel: String, inbox: Arc<Inbox>) -> Self {
        Self { link, channel, inbox }
    }

    /// Subscribes on a new connection to the server that has the channel now. Takes at most twice the options'
    /// `connect_timeout` and their `response_timeout`.
    ///
    /// # Errors
    /// [`LinkError::Unavailable`] and [`LinkError::Refused`]; the next attempt looks for the server anew.
    pub(super) async fn connect(&self) -> Result<Connected, LinkError> {
        let (number, on_push) = self.inbox.next_connection();
        let connection = self.link.connect(&self.channel, on_push).await?;
        let subscribe = if sharded(&self.link) { "SSUBSCRIBE" } else { "SUBSCRIBE" };
        let subscribe = cmd(subscribe).arg(&self.channel).take();
        connection.ask(&subscribe, self.within()).await.inspect_err(|_| self.link.doubt())?;
        self.inbox.up(number);
        Ok(Connected { connection, number, since: Instant::now() })
    }

    /// Keeps the subscription until its receiver is gone.
    pub(super) async fn run(self, connected: Connected) {
        let Some(hints) = self.inbox.hints() else { return };
        tokio::select! {
            () = hints.closed() => {}
            () = self.keep(connected) => {}
        }
    }

    async fn keep(&self, mut connected: Connected) {
        let mut failures = 0;
        loop {
            let why = self.lost(&connected).await;
            self.inbox.down(connected.number);
            self.link.doubt();
            tracing::warn!(
                channel = self.channel,
                server = &**connected.connection.address(),
                why,
                "the subscription is lost; subscribing again"
            );
            // One that never holds for long is not tried without a pause.
            if connected.since.elapsed() > HEARTBEAT {
                failures = 0;
            }
            // The connection is closed before the next one is made.
            drop(connected);
            connected = loop {
                failures += 1;
                time::sleep(pause(failures)).await;
                match self.connect().await {
                    Ok(connected) => break connected,
                    Err(error) => {
                        tracing::debug!(channel = self.channel, %error, "no subscription yet");
                    }
                }
            };
            let server = &**connected.connection.address();
            tracing::info!(channel = self.channel, server, "subscribed again");
        }
    }

    /// Waits until the subscription is lost, and says why.
    async fn lost(&self, connected: &Connected) -> String {
        let beating = async {
            let mut beats = time::interval_at(time::Instant::now() + HEARTBEAT, HEARTBEAT);
            beats.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
            loop {
                beats.tick().await;
                if let Err(why) = self.beat(&connected.connection).await {
                    return why;
                }
            }
        };
        tokio::select! {
            () = self.inbox.is_down(connected.number) => "the server closed it".to_owned(),
            why = beating => why,
        }
    }

    /// Whether the server answers, and is still the one that has the channel.
    async fn beat(&self, connection: &Connection) -> Result<(), String> {
        let said = |error: LinkError| error.to_string();
        let within = self.within().min(BEAT_WITHIN);
        if self.link.options().mode == Mode::Sentinel {
            if !connection.is_primary(within).await.map_err(said)? {
                return Err("the server has become a replica".into());
            }
        } else {
            connection.ask(&cmd("PING"), within).await.map_err(said)?;
        }
        // Looked up only where publishing met another server; where nobody knows, this one will do.
        match self.link.owner(&self.channel).await {
            Ok(owner) if owner != *connection.address() => Err(format!("{owner} has the channel now")),
            _ => Ok(()),
        }
    }

    fn within(&self) -> Duration {
        self.link.options().response_timeout
    }
}
