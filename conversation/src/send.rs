//! A message to be sent, and what is checked before it is stored.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use serde::Serialize;
use serde_json::value::RawValue;
use store::Author;
use tokio::sync::oneshot;
use wire::{Code, Conversation, Destination, MessageId, User};

use crate::{Limits, Refusal};

/// A message that somebody wants to send.
#[derive(Debug, Clone)]
pub struct SendRequest {
    /// Who writes it.
    pub from: User,
    /// The connection it comes from, or a back end.
    pub author: Author,
    /// Where it goes.
    pub to: Destination,
    /// The sender's own id for it.
    pub cid: Option<Arc<str>>,
    /// The kind; `text` where there is none.
    pub kind: Option<Arc<str>>,
    /// Any JSON.
    pub body: Arc<RawValue>,
    /// Whether a group refuses one who is not its member. Off for the system.
    pub members_only: bool,
}

/// A message that somebody wants to send to everybody who is connected.
#[derive(Debug, Clone)]
pub struct BroadcastRequest {
    /// Who writes it.
    pub from: User,
    /// The sender's own id for it; goes with the message, nothing more.
    pub cid: Option<Arc<str>>,
    /// The kind; `text` where there is none.
    pub kind: Option<Arc<str>>,
    /// Any JSON.
    pub body: Arc<RawValue>,
}

/// The message is stored; the answer to `send`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Its id.
    pub id: MessageId,
    /// Its place in the conversation.
    pub seq: u64,
    /// The conversation.
    pub conversation: Conversation,
    /// When it was stored, milliseconds since the Unix epoch.
    pub sent_at: i64,
    /// Whether it had been stored before, under the same `cid`.
    pub duplicate: bool,
}

/// A send that is under way; resolves once the message is durable (to a room: handed over), or refused.
#[derive(Debug)]
pub struct Pending<T = Sent>(State<T>);

#[derive(Debug)]
enum State<T> {
    Refused(Option<Refusal>),
    Waiting(oneshot::Receiver<Result<T, Refusal>>),
}

impl<T> Pending<T> {
    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self(State::Refused(Some(refusal)))
    }

    pub(crate) fn waiting(answer: oneshot::Receiver<Result<T, Refusal>>) -> Self {
        Self(State::Waiting(answer))
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, Refusal>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let stopping = || Refusal::unavailable("this node is stopping");
        match &mut self.0 {
            State::Refused(refusal) => Poll::Ready(Err(refusal.take().unwrap_or_else(stopping))),
            State::Waiting(answer) => {
                Pin::new(answer).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(stopping())))
            }
        }
    }
}

/// The kind of a message whose sender named none.
pub(crate) const DEFAULT_KIND: &str = "text";

/// Where the message is appended, once the checks have passed.
pub(crate) fn check(request: &SendRequest, limits: &Limits) -> Result<Conversation, Refusal> {
    check_sizes(request, limits)?;
    match &request.to {
        Destination::User(user) => Ok(Conversation::direct(request.from.clone(), user.clone())),
        Destination::Group(group) => Ok(Conversation::Group(group.clone())),
        Destination::Room(_) => Err(Refusal::bad_request("to: expected user or group")),
    }
}

pub(crate) fn check_sizes(request: &SendRequest, limits: &Limits) -> Result<(), Refusal> {
    check_parts(&request.body, request.kind.as_deref(), request.cid.as_deref(), limits)
}

pub(crate) fn check_parts(
    body: &RawValue,
    kind: Option<&str>,
    cid: Option<&str>,
    limits: &Limits,
) -> Result<(), Refusal> {
    let length = body.get().len();
    if length > limits.body_bytes {
        let message = format!("body: has {length} bytes, at most {} are allowed", limits.body_bytes);
        return Err(Refusal::new(Code::TooLarge, message));
    }
    bounded("type", kind, limits.type_bytes)?;
    bounded("cid", cid, limits.cid_bytes)
}

pub(crate) fn bounded(field: &str, text: Option<&str>, most: usize) -> Result<(), Refusal> {
    let Some(text) = text else { return Ok(()) };
    if text.is_empty() || text.len() > most {
        return Err(Refusal::bad_request(format!(
            "{field}: expected 1 to {most} bytes, it has {}",
            text.len()
        )));
    }
    Ok(())
}
