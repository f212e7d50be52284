//! A connection to each server, made when it is needed, and again when it was lost.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{self, Instant};

use crate::{
    Error,
    command::{Answer, Request},
    connection::Connection,
    error::code,
};

/// How many servers are remembered. Above it those without a connection are forgotten.
const SERVERS_MAX: usize = 256;

/// All servers that were asked so far, by address.
#[derive(Default)]
pub(crate) struct Servers {
    places: Mutex<HashMap<Arc<str>, Arc<Place>>>,
}

#[derive(Default)]
struct Place {
    open: Mutex<Option<Arc<Connection>>>,
    /// Held by the one who connects; the others wait for what comes out of it.
    connecting: tokio::sync::Mutex<()>,
}

impl Servers {
    /// Asks, and answers only success.
    ///
    /// # Errors
    /// As [`Servers::ask`], and [`Error::Refused`].
    pub(crate) async fn must(
        &self,
        address: &Arc<str>,
        request: &Request,
        within: Duration,
    ) -> Result<Answer, Error> {
        let answer = self.ask(address, request, within).await?;
        if answer.code == code::SUCCESS { Ok(answer) } else { Err(refused(address, answer)) }
    }

    /// Asks, connects before where that is needed, and waits for the answer.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::NoAnswer`], [`Error::Malformed`].
    pub(crate) async fn ask(
        &self,
        address: &Arc<str>,
        request: &Request,
        within: Duration,
    ) -> Result<Answer, Error> {
        let deadline = Instant::now() + within;
        let place = self.place(address);
        let connecting = time::timeout_at(deadline, place.connection(address, within));
        let Ok(connection) = connecting.await else {
            return Err(Error::NoAnswer { address: address.to_string(), within });
        };
        connection?.ask(request, deadline - Instant::now()).await
    }

    fn place(&self, address: &Arc<str>) -> Arc<Place> {
        let mut places = self.places.lock();
        if let Some(place) = places.get(address) {
            return place.clone();
        }
        if places.len() >= SERVERS_MAX {
            places.retain(|_, place| place.connected().is_some());
        }
        places.entry(address.clone()).or_default().clone()
    }
}

impl Place {
    fn connected(&self) -> Option<Arc<Connection>> {
        self.open.lock().as_ref().filter(|connection| connection.is_open()).cloned()
    }

    async fn connection(&self, address: &Arc<str>, within: Duration) -> Result<Arc<Connection>, Error> {
        if let Some(connection) = self.connected() {
            return Ok(connection);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(connection) = self.connected() {
            return Ok(connection);
        }
        let connection = Arc::new(Connection::open(address.clone(), within).await?);
        *self.open.lock() = Some(connection.clone());
        Ok(connection)
    }
}

/// An answer that is no success, as an error.
pub(crate) fn refused(address: &Arc<str>, answer: Answer) -> Error {
    // Java's remarks may hold a whole trace.
    let remark = answer.remark.lines().next().unwrap_or_default().to_owned();
    Error::Refused { address: address.to_string(), code: answer.code, remark }
}
