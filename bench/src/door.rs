//! Tokens, tickets and groups of Phalanx, over HTTP.

use anyhow::Context;
use jsonwebtoken::{EncodingKey, Header};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// How many users one call of the API takes.
const MEMBERS_A_CALL: usize = 1_000;
/// For how long a token of ours may be used, in seconds.
const TOKEN_SECONDS: u64 = 24 * 3_600;

/// Where a running cluster is reached.
#[derive(Debug)]
pub struct Door {
    http: Client,
    ticket_url: String,
    api_url: String,
    api_key: String,
    token_key: Option<Key>,
}

struct Key(EncodingKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// The assignment of one user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ticket {
    /// The spear to connect to.
    pub spear: Spear,
    /// What opens it, once.
    pub ticket: String,
}

/// A spear's name and address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Spear {
    /// Its id in the cluster.
    pub id: String,
    /// `http://host:port`.
    pub url: String,
}

impl Door {
    /// Without a secret the cluster's own development tokens are asked for, which an embedded cluster gives.
    #[must_use]
    pub fn new(ticket_url: &str, api_url: &str, api_key: &str, token_secret: Option<&str>) -> Self {
        Self {
            http: Client::new(),
            ticket_url: ticket_url.trim_end_matches('/').to_owned(),
            api_url: api_url.trim_end_matches('/').to_owned(),
            api_key: api_key.to_owned(),
            token_key: token_secret.map(|secret| Key(EncodingKey::from_secret(secret.as_bytes()))),
        }
    }

    async fn token(&self, user: &str) -> anyhow::Result<String> {
        #[derive(Serialize)]
        struct Claims<'a> {
            sub: &'a str,
            exp: u64,
        }
        #[derive(Deserialize)]
        struct Token {
            token: String,
        }
        if let Some(Key(key)) = &self.token_key {
            let exp = jsonwebtoken::get_current_timestamp() + TOKEN_SECONDS;
            return Ok(jsonwebtoken::encode(&Header::default(), &Claims { sub: user, exp }, key)?);
        }
        let request = self.http.post(format!("{}/dev/token", self.ticket_url)).json(&json!({"user": user}));
        let Token { token } = serde_json::from_str(&asked(request).await?)?;
        Ok(token)
    }

    /// A ticket for a user.
    ///
    /// # Errors
    /// What the cluster answered instead.
    pub async fn ticket(&self, user: &str) -> anyhow::Result<Ticket> {
        let token = self.token(user).await.context("no token")?;
        let request = self.http.post(format!("{}/v1/tickets", self.ticket_url)).bearer_auth(token);
        let answer = asked(request).await.with_context(|| format!("no ticket for {user}"))?;
        serde_json::from_str(&answer).context("an unreadable ticket")
    }

    /// Makes a group with these members.
    ///
    /// # Errors
    /// What the cluster answered instead.
    pub async fn make_group(&self, group: &str, members: &[String]) -> anyhow::Result<()> {
        let url = format!("{}/v1/groups/{group}", self.api_url);
        let put = |url: String| self.http.put(url).bearer_auth(&self.api_key);
        asked(put(url.clone()).json(&json!({})))
            .await
            .with_context(|| format!("cannot make the group {group}"))?;
        for users in members.chunks(MEMBERS_A_CALL) {
            let request = put(format!("{url}/members")).json(&json!({"users": users}));
            asked(request).await.with_context(|| format!("cannot add members to {group}"))?;
        }
        Ok(())
    }
}

/// The body of an answer that says yes.
async fn asked(request: RequestBuilder) -> anyhow::Result<String> {
    let response = request.send().await?;
    let status = response.status();
    let body = response.text().await?;
    anyhow::ensure!(status.is_success(), "{status}: {body}{}", hint(status));
    Ok(body)
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::TOO_MANY_REQUESTS => " (PHALANX__TICKET__LIMITS__ADDRESS_PER_SECOND=0 lifts the limit)",
        StatusCode::NOT_FOUND => " (not an embedded cluster? --token-secret signs tokens)",
        _ => "",
    }
}
