//! Connections that are held.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::JoinHandle;

use super::Bench;
use crate::{
    link::{Incoming, Link},
    packet::Packet,
    target::Seat,
};

/// How many connections are made at once.
pub const AT_ONCE: usize = 64;
/// Between two words about the progress.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// Idle connections. Their pings are answered; dropped, they are closed.
#[derive(Debug, Default)]
pub struct Crowd {
    tasks: Vec<JoinHandle<()>>,
    ended: Rc<RefCell<Vec<String>>>,
}

impl Crowd {
    /// Connects these users, each in these groups.
    ///
    /// # Errors
    /// The first one that is not let in.
    pub async fn join(&mut self, bench: &Bench, users: &[String], groups: &[String]) -> anyhow::Result<()> {
        let mut connecting = stream::iter(users.iter().enumerate())
            .map(async |(turn, user)| {
                let seat = bench.target.seat(user, groups, turn).await?;
                anyhow::Ok((Link::connect(&seat).await?, seat))
            })
            .buffer_unordered(AT_ONCE);
        let mut said = Instant::now();
        while let Some(((link, incoming), seat)) = connecting.try_next().await? {
            self.hold(seat, link, incoming);
            if said.elapsed() > SAY_EVERY {
                bench.say(&format!("{} connections", self.len()));
                said = Instant::now();
            }
        }
        bench.say(&format!("{} connections", self.len()));
        Ok(())
    }

    /// Keeps a connection, and whatever is told to it unread.
    pub fn hold(&mut self, seat: Seat, link: Rc<Link>, incoming: Incoming) {
        let ended = self.ended.clone();
        self.tasks.push(tokio::task::spawn_local(async move {
            let told_to_go = Rc::new(RefCell::new(false));
            let heard = told_to_go.clone();
            let end = incoming
                .drive(link, |packet| {
                    if packet == Packet::Close {
                        *heard.borrow_mut() = true;
                    }
                })
                .await;
            let told = if *told_to_go.borrow() { " after a close packet" } else { "" };
            ended.borrow_mut().push(format!("{}: {end}{told}", seat.user));
        }));
    }

    /// How many were connected.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether none was connected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// What went wrong with those that should be there still, in one line.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let ended = self.ended.borrow();
        ended.first().map(|first| format!("{} connections ended, the first one {first}", ended.len()))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
