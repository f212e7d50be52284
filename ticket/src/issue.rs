//! Tickets for one who is known.

use serde::Serialize;
use std::sync::Arc;

use arc_swap::ArcSwap;
use boot::Problem;
use token::Token;
use wire::{Code, Device, NodeRecord, TicketClaims, TicketKey};

use crate::{plan::Plan, settings::TicketSettings};

/// After how many seconds it makes sense to ask again where no spear is available.
const RETRY_NO_SPEAR_S: u64 = 1;

/// A spear and the ticket for it.
#[derive(Debug, Serialize)]
pub(crate) struct Place {
    spear: SpearAddress,
    ticket: String,
}

#[derive(Debug, Serialize)]
struct SpearAddress {
    id: Arc<str>,
    url: String,
}

/// The answer of `/v1/tickets`.
#[derive(Debug, Serialize)]
pub(crate) struct Assignment {
    #[serde(flatten)]
    place: Place,
    /// Until when all of them may be used, milliseconds since the Unix epoch.
    expires_at: i64,
    alternates: Vec<Place>,
}

/// Chooses spears and signs tickets.
pub(crate) struct Issuer {
    plan: Arc<ArcSwap<Plan>>,
    key: TicketKey,
    ttl_ms: i64,
    places: usize,
}

impl Issuer {
    pub(crate) fn new(plan: Arc<ArcSwap<Plan>>, key: TicketKey, settings: &TicketSettings) -> Self {
        Self { plan, key, ttl_ms: settings.ttl_ms.into(), places: settings.alternates + 1 }
    }

    /// Tickets for the bearer of `token` on `device`, none for a spear in `avoid`.
    ///
    /// # Errors
    /// [`Code::DeviceMismatch`], [`Code::NoSpear`].
    pub(crate) fn issue(
        &self,
        token: &Token,
        device: Option<Device>,
        avoid: &[String],
        now_ms: i64,
    ) -> Result<Assignment, Problem> {
        let device = device_of(token, device)?;
        let plan = self.plan.load();
        let expires_at = now_ms + self.ttl_ms;
        let mut places = plan.pick(token.user.as_str(), avoid, self.places).into_iter().map(|spear| Place {
            spear: SpearAddress { id: spear.id.clone(), url: spear.public_url.clone() },
            ticket: self.key.sign(&claims(token, &device, spear, now_ms, expires_at)),
        });
        let place = places.next().ok_or_else(|| no_spear(&plan))?;
        Ok(Assignment { place, expires_at, alternates: places.collect() })
    }
}

/// The device that the token is for, else the one asked for, else `default`.
fn device_of(token: &Token, asked: Option<Device>) -> Result<Device, Problem> {
    match (&token.device, asked) {
        (Some(bound), Some(asked)) if *bound != asked => Err(Problem::new(
            Code::DeviceMismatch,
            "the token is for another device: leave device out, or get another token",
        )),
        (Some(bound), _) => Ok(bound.clone()),
        (None, asked) => Ok(asked.unwrap_or_default()),
    }
}

fn claims(token: &Token, device: &Device, spear: &NodeRecord, now_ms: i64, expires_at: i64) -> TicketClaims {
    TicketClaims {
        jti: format!("{:032x}", rand::random::<u128>()),
        spear: spear.id.clone(),
        incarnation: spear.incarnation,
        user: token.user.clone(),
        device: device.clone(),
        issued_at: now_ms,
        expires_at,
        token_expires_at: token.expires_at,
        scope: token.scope.clone(),
    }
}

fn no_spear(plan: &Plan) -> Problem {
    let detail = match plan.ring().available() {
        0 => "no spear takes connections now: try again".to_owned(),
        1 => "the only spear is in avoid: leave it out, or try again later".to_owned(),
        spears => format!("all {spears} spears are in avoid: leave some out, or try again later"),
    };
    Problem::new(Code::NoSpear, detail).retry_after_s(RETRY_NO_SPEAR_S)
}
