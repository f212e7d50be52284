//! `watch`: be told who comes and goes.

use conversation::Refusal;
use serde::Deserialize;
use serde_json::json;
use wire::{Code, User};

use super::{Answer, Asking, answer};
use crate::{connection::WatchRefused, hub::WatchLimits};

/// What is watched, or not any more: `{"users": […]}`, their presence.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Place {
    Users(Vec<User>),
}

impl Place {
    /// Checks how many are named.
    pub(super) fn check(self, most: usize) -> Result<Self, Refusal> {
        let Self::Users(users) = &self;
        if users.is_empty() || users.len() > most {
            let message = format!("users: expected 1 to {most} names, not {}", users.len());
            return Err(Refusal::bad_request(message));
        }
        Ok(self)
    }
}

/// Watching again does no harm: it is told again how things are.
pub(super) fn begin(asking: Asking<'_>) -> Result<Answer, Refusal> {
    let (context, connection) = (asking.context.clone(), asking.connection.clone());
    let limits = WatchLimits { of_connection: context.watch.users, of_node: context.watch.node_users };
    let Place::Users(users) = asking.payload::<Place>()?.check(limits.of_connection)?;
    context.hub.watch(&connection, &users, limits).map_err(|refused| match refused {
        WatchRefused::TooMany => {
            let most = limits.of_connection;
            let message = format!("a connection may watch {most} users at most: unwatch others first");
            Refusal::new(Code::RateLimited, message)
        }
        WatchRefused::NodeFull => {
            Refusal::new(Code::RateLimited, "as many users are watched from this node as may be")
        }
        WatchRefused::Gone => Refusal::unavailable("the connection is ending"),
    })?;
    Ok(Box::pin(async move {
        match context.hub.announce_watched(&connection, &users).await {
            Ok(()) => answer::done(&json!({})).then(move || context.hub.look_again(&connection, &users)),
            Err(error) => answer::of::<()>(Err(error.into())),
        }
    }))
}
