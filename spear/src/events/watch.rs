//! `watch`: be told who comes and goes, or what is written where one is not.

use std::sync::Arc;

use conversation::Refusal;
use serde::Deserialize;
use serde_json::json;
use wire::{Code, Conversation, Group, User};

use super::{Answer, Asking, answer};
use crate::{
    connection::{Connection, WatchRefused},
    context::Context,
    hub::{Topic, WatchLimits},
};

/// What is watched, or not any more: one of the three lists.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    users: Option<Vec<User>>,
    /// Of users: their messages instead of their presence.
    #[serde(default)]
    messages: bool,
    groups: Option<Vec<Group>>,
    conversations: Option<Vec<Conversation>>,
}

/// The same, as far as it makes a difference here.
pub(super) enum Watched {
    Presence(Vec<User>),
    Messages(Vec<Topic>),
}

/// Reads what is asked for.
pub(super) fn read(asking: &Asking<'_>) -> Result<Watched, Refusal> {
    let settings = &asking.context.watch;
    let of_conversations = |list: Vec<Conversation>| list.into_iter().map(Topic::Conversation).collect();
    let Payload { users, messages, groups, conversations } = asking.payload()?;
    let (name, count, most, watched) = match (users, groups, conversations) {
        (Some(users), None, None) if messages => {
            let topics: Vec<Topic> = users.into_iter().map(Topic::User).collect();
            ("users", topics.len(), settings.conversations, Watched::Messages(topics))
        }
        (Some(users), None, None) => ("users", users.len(), settings.users, Watched::Presence(users)),
        (None, Some(groups), None) if !messages => {
            let topics: Vec<Topic> = of_conversations(groups.into_iter().map(Conversation::Group).collect());
            ("groups", topics.len(), settings.conversations, Watched::Messages(topics))
        }
        (None, None, Some(conversations)) if !messages => {
            let topics: Vec<Topic> = of_conversations(conversations);
            ("conversations", topics.len(), settings.conversations, Watched::Messages(topics))
        }
        _ => {
            let expected = "expected one of users, groups and conversations; messages goes with users";
            return Err(Refusal::bad_request(expected));
        }
    };
    if !(1..=most).contains(&count) {
        return Err(Refusal::bad_request(format!("{name}: expected 1 to {most} names, not {count}")));
    }
    Ok(watched)
}

/// Watching again does no harm: of users it is told again how things are.
pub(super) fn begin(asking: Asking<'_>) -> Result<Answer, Refusal> {
    let (context, connection) = (asking.context.clone(), asking.connection.clone());
    match read(&asking)? {
        Watched::Presence(users) => watch_presence(context, connection, users),
        Watched::Messages(topics) => watch_messages(context, connection, &topics),
    }
}

fn watch_presence(
    context: Arc<Context>,
    connection: Arc<Connection>,
    users: Vec<User>,
) -> Result<Answer, Refusal> {
    let most = context.watch.users;
    let limits = WatchLimits { of_connection: most, of_node: context.watch.node_users };
    context.hub.watch(&connection, &users, limits).map_err(|why| refusal(why, &format!("{most} users")))?;
    Ok(Box::pin(async move {
        match context.hub.announce_watched(&connection, &users).await {
            Ok(()) => answer::done(&json!({})).then(move || context.hub.look_again(&connection, &users)),
            Err(error) => answer::of::<()>(Err(error.into())),
        }
    }))
}

fn watch_messages(
    context: Arc<Context>,
    connection: Arc<Connection>,
    topics: &[Topic],
) -> Result<Answer, Refusal> {
    if !connection.may_monitor() {
        let reason = "messages of others are for tokens with the scope \"monitor\"";
        return Err(Refusal::new(Code::Forbidden, reason));
    }
    let most = context.watch.conversations;
    let limits = WatchLimits { of_connection: most, of_node: context.watch.node_users };
    let new = context
        .hub
        .monitor(&connection, topics, limits, &context.watched_messages)
        .map_err(|why| refusal(why, &format!("{most} groups, conversations and users with messages")))?;
    Ok(Box::pin(async move {
        let announced = context.hub.announce_monitored(&connection, &new).await;
        answer::of(match announced {
            Ok(None) => Ok(json!({})),
            Ok(Some(group)) => Err(Refusal::new(Code::NotFound, format!("group {group}: there is none"))),
            Err(error) => Err(error.into()),
        })
    }))
}

fn refusal(why: WatchRefused, most: &str) -> Refusal {
    match why {
        WatchRefused::TooMany => {
            let message = format!("a connection may watch {most} at most: unwatch others first");
            Refusal::new(Code::RateLimited, message)
        }
        WatchRefused::NodeFull => {
            Refusal::new(Code::RateLimited, "as much is watched from this node as may be")
        }
        WatchRefused::Gone => Refusal::unavailable("the connection is ending"),
    }
}
