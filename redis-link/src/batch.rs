//! The calls of a run that go to one server: sent as one pipeline, its answers sorted.

use redis::{Pipeline, Script, ServerError, Value};
use tokio::time::Instant;

use crate::{Call, LinkError, Wait, connection::Connection, error::FULL};

/// A call that has no answer yet.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Its place in the run.
    pub(crate) place: usize,
    pub(crate) call: Call,
    /// Where the last answer sent it; `None`: to the owner of its slot.
    pub(crate) redirect: Option<Redirect>,
}

/// Where a call is to go instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redirect {
    pub(crate) address: String,
    /// For this call only, and announced by ASKING: the slot is on its way.
    pub(crate) ask: bool,
}

/// What became of a batch whose answers arrived.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) done: Vec<(usize, Value)>,
    /// These were not executed.
    pub(crate) again: Vec<Pending>,
    /// Scripts that the server does not know.
    pub(crate) unknown: Vec<&'static Script>,
    /// Whether a slot has another owner than was thought.
    pub(crate) moved: bool,
    /// Whether a call must wait a little until it can be executed.
    pub(crate) pause: bool,
    /// What a server said that has no room for some of the calls to be done again.
    pub(crate) full: Option<LinkError>,
    pub(crate) error: Option<LinkError>,
}

impl Outcome {
    /// Loads the scripts that the server did not know.
    ///
    /// # Errors
    /// [`LinkError::Unavailable`]: the connection is lost, or the deadline is over.
    pub(crate) async fn load(self, connection: &Connection, deadline: Instant) -> Result<Self, LinkError> {
        for script in &self.unknown {
            connection.load(script, deadline).await?;
        }
        Ok(self)
    }

    pub(crate) fn fail(&mut self, error: LinkError) {
        self.error = Some(match self.error.take() {
            Some(former) => former.worse(error),
            None => error,
        });
    }
}

/// What of an answer decides what happens to its call.
enum Answer {
    Done(Value),
    UnknownScript(&'static Script),
    Moved(String),
    Ask(String),
    NotYet,
    Full(LinkError),
    Error(LinkError),
}

/// Sends the calls as one pipeline, with `WAIT` at its end where replicas must confirm.
///
/// # Errors
/// [`LinkError::Unavailable`]: the connection is lost, or the deadline is over.
pub(crate) async fn send(
    connection: &Connection,
    batch: Vec<Pending>,
    wait: Option<Wait>,
    deadline: Instant,
) -> Result<Outcome, LinkError> {
    let mut pipeline = Pipeline::with_capacity(batch.len() + 1);
    let mut sent = Vec::with_capacity(batch.len());
    for Pending { place, call, redirect } in batch {
        let asking = redirect.is_some_and(|redirect| redirect.ask);
        if asking {
            pipeline.cmd("ASKING");
        }
        sent.push((place, call.slot, call.script, asking));
        pipeline.add_command(call.command);
    }
    if let Some(wait) = wait {
        // 0 would be for ever.
        let milliseconds = u64::try_from(wait.timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        pipeline.cmd("WAIT").arg(wait.replicas).arg(milliseconds);
    }
    let mut answers = connection.send(&pipeline, deadline).await?.into_iter();
    let mut commands = pipeline.cmd_iter();
    let mut outcome = Outcome::default();
    for (place, slot, script, asking) in sent {
        if asking {
            drop((answers.next(), commands.next()));
        }
        let (answer, command) = (answers.next().unwrap_or(Value::Nil), commands.next());
        let again = |redirect| {
            let call = Call { slot, command: command.cloned().unwrap_or_default(), script };
            Pending { place, call, redirect }
        };
        match sort(connection, answer, script) {
            Answer::Done(value) => outcome.done.push((place, value)),
            Answer::UnknownScript(script) => {
                if !outcome.unknown.iter().any(|known| std::ptr::eq(*known, script)) {
                    outcome.unknown.push(script);
                }
                outcome.again.push(again(None));
            }
            Answer::Moved(address) => {
                outcome.moved = true;
                outcome.again.push(again(Some(Redirect { address, ask: false })));
            }
            Answer::Ask(address) => outcome.again.push(again(Some(Redirect { address, ask: true }))),
            Answer::NotYet => {
                outcome.pause = true;
                outcome.again.push(again(None));
            }
            Answer::Full(error) => {
                outcome.full = Some(error);
                outcome.again.push(again(None));
            }
            Answer::Error(error) => outcome.fail(error),
        }
    }
    if let Some(wait) = wait {
        match answers.next() {
            Some(Value::Int(confirmed)) if confirmed >= i64::from(wait.replicas) => {}
            Some(Value::Int(confirmed)) => outcome.fail(LinkError::NotReplicated {
                wanted: wait.replicas,
                confirmed: u32::try_from(confirmed).unwrap_or(0),
            }),
            other => outcome.fail(LinkError::Unavailable(format!(
                "{}: WAIT is answered with {other:?}",
                connection.address()
            ))),
        }
    }
    Ok(outcome)
}

fn sort(connection: &Connection, answer: Value, script: Option<&'static Script>) -> Answer {
    let Value::ServerError(error) = answer else { return Answer::Done(answer) };
    let said = |error: &ServerError| LinkError::answer(connection.address(), error);
    let refused = |error: &ServerError| Answer::Error(said(error));
    match (error.code(), script) {
        ("NOSCRIPT", Some(script)) => Answer::UnknownScript(script),
        ("TRYAGAIN", _) => Answer::NotYet,
        (FULL, _) => Answer::Full(said(&error)),
        ("MOVED" | "ASK", _) => match redirection(&error, connection.address()) {
            Some(address) if error.code() == "ASK" => Answer::Ask(address),
            Some(address) => Answer::Moved(address),
            None => refused(&error),
        },
        _ => refused(&error),
    }
}

/// The address in "3999 127.0.0.1:6381"; without a host it is the one that was asked.
fn redirection(error: &ServerError, asked: &str) -> Option<String> {
    let address = error.details()?.split_ascii_whitespace().nth(1)?;
    match address.strip_prefix(':') {
        Some(port) => asked.rsplit_once(':').map(|(host, _)| format!("{host}:{port}")),
        None => Some(address.to_owned()),
    }
}
