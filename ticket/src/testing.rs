//! What this crate's tests share.

use boot::SigningKey;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::Value;
use wire::{Incarnation, NodeRecord, NodeState, Role};

use crate::settings::{Balance, Limits, Settings, Switch, TicketSettings};

pub(crate) fn settings() -> Settings {
    Settings {
        token_in_query: Switch::Embedded,
        tickets: TicketSettings { ttl_ms: 30_000, alternates: 2 },
        balance: Balance { bound_percent: 125, min_connections: 100, stale_ms: 5_000 },
        cors: boot::CorsSettings::default(),
        limits: Limits {
            body_bytes: 4_096,
            request_timeout_ms: 2_000,
            address_per_second: 0,
            address_burst: 0,
            user_per_second: 0,
            user_burst: 0,
            trust_forwarded_for: false,
        },
    }
}

pub(crate) fn spear(id: &str) -> NodeRecord {
    NodeRecord {
        id: id.into(),
        role: Role::Spear,
        incarnation: Incarnation(7),
        host: "127.0.0.1".to_owned(),
        port: 1,
        public_url: format!("http://{id}.test"),
        admin_url: String::new(),
        weight: 1,
        state: NodeState::Up,
        version: String::new(),
        started_at: 0,
    }
}

/// A token of these claims, signed as `/dev/token` signs.
pub(crate) fn token(key: &SigningKey, claims: &Value) -> String {
    let header = Header { kid: Some(key.kid.to_string()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(key.bytes())).expect("it signs")
}
