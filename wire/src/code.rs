//! Why something was refused.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The codes of CONTRACT §2, §3 and §6: part of the protocol, never renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request does not have the form that is expected.
    BadRequest,
    /// The body or payload is larger than the setting allows.
    TooLarge,
    /// Too many requests; try again later.
    RateLimited,
    /// The user is not a member of the group.
    NotMember,
    /// There is no such thing.
    NotFound,
    /// The caller may not do this.
    Forbidden,
    /// A part of the cluster that this needs cannot be reached; try again later.
    Unavailable,
    /// No token, or one that is not valid.
    TokenInvalid,
    /// The token's `exp` has passed.
    TokenExpired,
    /// The `device` asked for is not the token's.
    DeviceMismatch,
    /// The user is banned.
    Banned,
    /// No spear takes connections now.
    NoSpear,
    /// The connection brought no ticket.
    TicketMissing,
    /// The ticket is not one of ours, or was changed.
    TicketInvalid,
    /// The ticket is too old.
    TicketExpired,
    /// The ticket was used before.
    TicketUsed,
    /// The ticket is for another spear, or for an earlier start of this one.
    WrongNode,
    /// The spear is leaving.
    Draining,
    /// The spear holds as many connections as it may.
    Overloaded,
}

impl Code {
    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::NotMember => "not_member",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "unavailable",
            Self::TokenInvalid => "token_invalid",
            Self::TokenExpired => "token_expired",
            Self::DeviceMismatch => "device_mismatch",
            Self::Banned => "banned",
            Self::NoSpear => "no_spear",
            Self::TicketMissing => "ticket_missing",
            Self::TicketInvalid => "ticket_invalid",
            Self::TicketExpired => "ticket_expired",
            Self::TicketUsed => "ticket_used",
            Self::WrongNode => "wrong_node",
            Self::Draining => "draining",
            Self::Overloaded => "overloaded",
        }
    }

    /// The HTTP status that goes with it.
    pub fn http_status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::TokenInvalid
            | Self::TokenExpired
            | Self::TicketMissing
            | Self::TicketInvalid
            | Self::TicketExpired
            | Self::TicketUsed => 401,
            Self::NotMember | Self::Forbidden | Self::DeviceMismatch | Self::Banned => 403,
            Self::NotFound => 404,
            Self::WrongNode => 409,
            Self::TooLarge => 413,
            Self::RateLimited => 429,
            Self::Unavailable | Self::NoSpear | Self::Draining | Self::Overloaded => 503,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
