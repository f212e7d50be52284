//! `DELETE /v1/users/{user}` forgets a user, `/v1/users/{user}/export` tells all that is kept of one.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use boot::Problem;
use conversation::{Belonging, Presence, Refusal};
use serde::Serialize;
use store::KnownDevice;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time,
};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::ToSchema;
use wire::{Code, Device, Message, User, time::now_ms};

use super::{Api, extract::Segment, keys::Caller, refused, schemas::UserName, users};

/// Erasures and exports that one node works on at once: each reads all conversations of a user. Further ones wait.
pub(super) const AT_ONCE: usize = 2;
/// How long an erasure waits until the user's connections have ended.
const GOING: Duration = Duration::from_secs(3);
/// Between two looks whether they have.
const LOOK: Duration = Duration::from_millis(50);
/// How often an erasure begins again because the user was connected again meanwhile.
const ROUNDS: usize = 3;
/// How long a client may take for one piece of an export; then it is broken off.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);
/// Pieces of an export that wait for the client: a page of messages each.
const PIECES: usize = 2;

/// What an erasure did. A further call finds nothing to do.
#[derive(Serialize, ToSchema)]
pub(super) struct Erased {
    /// Messages of the user that are tombstones now, and were not before.
    messages: u64,
    /// Conversations that are not the user's any more.
    conversations: u64,
}

/// A line of an export.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line {
    User {
        user: User,
        banned: bool,
        last_seen_at: Option<i64>,
        exported_at: i64,
    },
    Device {
        device: Device,
        last_seen_at: Option<i64>,
    },
    Conversation(Belonging),
    Message {
        message: Arc<Message>,
    },
    /// Who does not find it has not got everything.
    End {
        conversations: u64,
        messages: u64,
    },
}

/// Erases a user
///
/// Every message that they sent becomes a tombstone, as if recalled; they leave every group; their devices, cursors, read marks and
/// the list of their conversations are forgotten. Who is connected is kicked. A ban stays. After 503 make the call again: it goes on
/// where it was.
#[utoipa::path(
    delete, path = "/v1/users/{user}", tag = "users", operation_id = "erase_user",
    params(("user" = inline(UserName), Path, description = "The user's name.")),
    responses((status = 200, description = "Nothing is left of the user but tombstones.", body = Erased))
)]
pub(super) async fn erase(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Segment(user): Segment<User>,
) -> Result<Json<Erased>, Problem> {
    let turn = turn(&api.inner.personal).await?;
    // It goes on when the request takes too long: then the next call finds less to do.
    let erasing = boot::spawn(async move {
        let _turn = turn;
        let erased = api.erase(&user).await?;
        let (key, messages) = (caller.name(), erased.messages);
        tracing::info!(key, %user, messages, conversations = erased.conversations, "a user was erased");
        Ok(Json(erased))
    });
    erasing.await.map_err(|_| Problem::internal())?
}

/// All that is kept of a user
///
/// As lines of JSON, each with its `kind`: first the `user`; each `device`; each `conversation` with how far it was read and, of a
/// group, when the user was a member, followed by each `message` of it that the user may see; last `end` with how many there were.
/// Without `end` it is not everything.
#[utoipa::path(
    get, path = "/v1/users/{user}/export", tag = "users", operation_id = "export_user",
    params(("user" = inline(UserName), Path, description = "The user's name.")),
    responses((status = 200, description = "Everything, line by line.", body = String, content_type = "application/x-ndjson"))
)]
pub(super) async fn export(
    State(api): State<Api>,
    Segment(user): Segment<User>,
) -> Result<Response, Problem> {
    let turn = turn(&api.inner.personal).await?;
    let head = api.export_head(&user).await?;
    let belongings = api.inner.conversations.belongings(&user).await.map_err(refused)?;
    let (pieces, body) = mpsc::channel(PIECES);
    boot::spawn(async move {
        let _turn = turn;
        let exported = api.export(&user, head, belongings, &pieces).await;
        if let Err(error) = exported {
            tracing::warn!(%error, %user, "an export is broken off");
            drop(pieces.try_send(Err(error)));
        }
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, Body::from_stream(ReceiverStream::new(body))).into_response())
}

async fn turn(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    let turn = turns.clone().acquire_owned().await;
    turn.map_err(|_| Problem::new(Code::Unavailable, "this node is ending").retry_after_s(1))
}

impl Api {
    async fn erase(&self, user: &User) -> Result<Erased, Problem> {
        let mut erased = Erased { messages: 0, conversations: 0 };
        for _ in 0..ROUNDS {
            self.send_away(user).await?;
            let done = self.inner.conversations.erase(user).await.map_err(refused)?;
            erased.messages += done.messages;
            erased.conversations += done.conversations;
            let store = &self.inner.store;
            store.forget_devices(user).await.map_err(users::unreachable)?;
            // One who was connected again meanwhile has left something behind.
            let left = store.inbox(user).await.map_err(users::unreachable)?;
            let devices = store.known_devices(user).await.map_err(users::unreachable)?;
            if left.direct.is_empty() && left.groups.is_empty() && devices.is_empty() {
                return Ok(erased);
            }
        }
        Err(comes_back())
    }

    /// Kicks a user until no connection is left.
    async fn send_away(&self, user: &User) -> Result<(), Problem> {
        let deadline = Instant::now() + GOING;
        let mut told = 0;
        loop {
            let held = users::known(self, user).await?;
            // Now and then again: a hint may be lost, and a client may have come back. Also those whom the roster does not show
            // just now: their spear may live.
            if told % 10 == 0 {
                self.tell_to_go(user, &held, "admin", None).await;
            }
            told += 1;
            if !Presence::new(held, &self.inner.observed.snapshot()).online {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(comes_back());
            }
            time::sleep(LOOK).await;
        }
    }

    async fn export_head(&self, user: &User) -> Result<Vec<Line>, Problem> {
        let store = &self.inner.store;
        let banned = store.is_banned(user).await.map_err(users::unreachable)?;
        let last_seen_at = users::known(self, user).await?.last_seen_at;
        let devices = store.known_devices(user).await.map_err(users::unreachable)?;
        let first = Line::User { user: user.clone(), banned, last_seen_at, exported_at: now_ms() };
        let device = |KnownDevice { device, last_seen_at, .. }| Line::Device { device, last_seen_at };
        Ok([first].into_iter().chain(devices.into_iter().map(device)).collect())
    }

    async fn export(
        &self,
        user: &User,
        head: Vec<Line>,
        belongings: Vec<Belonging>,
        pieces: &mpsc::Sender<io::Result<Bytes>>,
    ) -> io::Result<()> {
        send(pieces, &head).await?;
        let (mut conversations, mut messages) = (0, 0);
        for belonging in belongings {
            let conversation = belonging.conversation.clone();
            conversations += 1;
            send(pieces, &[Line::Conversation(belonging)]).await?;
            let mut after = 0;
            loop {
                let page = self.inner.conversations.messages_of(user, &conversation, after).await;
                let page = match page {
                    Ok(page) => page,
                    // Erased meanwhile.
                    Err(Refusal { code: Code::NotMember, .. }) => break,
                    Err(refusal) => return Err(io::Error::other(refusal)),
                };
                let Some(last) = page.last() else { break };
                after = last.seq;
                messages += page.len() as u64;
                let lines: Vec<Line> = page.into_iter().map(|message| Line::Message { message }).collect();
                send(pieces, &lines).await?;
            }
        }
        send(pieces, &[Line::End { conversations, messages }]).await
    }
}

async fn send(pieces: &mpsc::Sender<io::Result<Bytes>>, lines: &[Line]) -> io::Result<()> {
    let mut json = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut json, line)?;
        json.push(b'\n');
    }
    let sent = pieces.send_timeout(Ok(json.into()), PIECE_TIMEOUT).await;
    sent.map_err(|_| io::Error::other("the client does not read it"))
}

fn comes_back() -> Problem {
    let detail = "the user is connected, or connects again, while they are erased: ban them first";
    Problem::new(Code::Unavailable, detail).retry_after_s(1)
}
