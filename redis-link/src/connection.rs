//! One connection to one server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Pipeline, ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, Script,
    ServerError, Value, aio::MultiplexedConnection,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{LinkError, Mode, RedisOptions, options::host_and_port, stream};

/// What a connection that others take no part in may take in without being asked: hints, the loss of the connection.
pub type OnPush = Box<dyn Fn(PushInfo) + Send + Sync>;

/// A connection that may be shared; it ends with its last clone.
#[derive(Debug, Clone)]
pub struct Connection {
    address: Arc<str>,
    redis: MultiplexedConnection,
    lost: Arc<AtomicBool>,
    /// Reads and writes; the connection is closed with it.
    _driver: Arc<AbortOnDropHandle<()>>,
}

/// Whom to log in as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    /// A server that holds data: the user of the options, their database.
    Server,
    /// A sentinel: the user of the options for them.
    Sentinel,
}

/// How far the opening of a connection has come: what a server that falls silent may be the matter with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Encrypting,
    Greeting,
}

impl Connection {
    /// Opens one, within the options' `connect_timeout`. With Sentinel, a server that is not the primary is refused.
    pub(crate) async fn open(
        options: &RedisOptions,
        address: Arc<str>,
        login: Login,
        on_push: Option<OnPush>,
    ) -> Result<Self, LinkError> {
        let mut stage = Stage::Connecting;
        let opening = async {
            let connection =
                Self::open_unbounded(options, address.clone(), login, on_push, &mut stage).await?;
            // One that was replaced while it was frozen or cut off becomes a replica, and so does not serve.
            if login == Login::Server
                && options.mode == Mode::Sentinel
                && !connection.is_primary(options.connect_timeout).await?
            {
                return Err(LinkError::Unavailable(format!("{address} is not the primary")));
            }
            Ok(connection)
        };
        let opened = timeout(options.connect_timeout, opening).await;
        opened.map_err(|_| match stage {
            Stage::Encrypting => LinkError::Unavailable(format!(
                "{address} does not answer in time to a TLS handshake: it may not speak TLS"
            )),
            Stage::Connecting | Stage::Greeting => LinkError::late(&address),
        })?
    }

    async fn open_unbounded(
        options: &RedisOptions,
        address: Arc<str>,
        login: Login,
        on_push: Option<OnPush>,
        stage: &mut Stage,
    ) -> Result<Self, LinkError> {
        let (host, port) = host_and_port(&address)
            .ok_or_else(|| LinkError::Unavailable(format!("{address:?} is no host:port")))?;
        let failed = |why: String| LinkError::Unavailable(format!("{address}: {why}"));
        let stream = stream::connect(host, port, options).await.map_err(|error| failed(error.to_string()))?;
        let login = credentials(options, login);
        match &options.tls {
            Some(tls) => {
                *stage = Stage::Encrypting;
                let stream = tls.handshake(host, stream).await;
                let stream = stream.map_err(|error| failed(format!("no TLS with it: {error}")))?;
                *stage = Stage::Greeting;
                let greeted = Self::greet(address.clone(), stream, &login, on_push).await;
                greeted.map_err(|error| failed(error.to_string()))
            }
            None => {
                *stage = Stage::Greeting;
                let greeted = Self::greet(address.clone(), stream, &login, on_push).await;
                // A server that speaks TLS only ends a plain connection without a word that could be read.
                greeted.map_err(|error| match ServerError::try_from(error) {
                    Ok(error) => LinkError::Unavailable(format!("{address}: {error}")),
                    Err(error) => failed(format!("{error}: if it speaks TLS only, so must we")),
                })
            }
        }
    }

    async fn greet(
        address: Arc<str>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        login: &RedisConnectionInfo,
        on_push: Option<OnPush>,
    ) -> Result<Self, redis::RedisError> {
        let lost = Arc::new(AtomicBool::new(false));
        let notice = lost.clone();
        let on_push = move |info: PushInfo| {
            if info.kind == PushKind::Disconnection {
                notice.store(true, Ordering::Release);
            }
            if let Some(on_push) = &on_push {
                on_push(info);
            }
            Ok::<(), ()>(())
        };
        // Both are bounded by the callers, who know by when the whole of it must be done.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(on_push);
        let (redis, driver) = MultiplexedConnection::new_with_config(login, stream, config).await?;
        let driver = Arc::new(AbortOnDropHandle::new(tokio::spawn(driver)));
        Ok(Self { address, redis, lost, _driver: driver })
    }

    /// `host:port` of the server.
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// Whether it is known to be lost; one that is not may be all the same.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Whether both are clones of the same one.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.lost, &other.lost)
    }

    /// Sends a pipeline, and gives the answers of its `count` commands; an error of a server is one of the answers.
    ///
    /// # Errors
    /// [`LinkError::Unavailable`]: the connection is lost, or there is no answer by the deadline.
    pub(crate) async fn send(&self, pipeline: &Pipeline, deadline: Instant) -> Result<Vec<Value>, LinkError> {
        let mut redis = self.redis.clone();
        let sending = redis.send_packed_commands(pipeline, 0, pipeline.len());
        match timeout_at(deadline, sending).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(error)) => Err(LinkError::io(&self.address, &error)),
            Err(_) => Err(LinkError::late(&self.address)),
        }
    }

    /// Makes the server know a script.
    ///
    /// # Errors
    /// [`LinkError::Unavailable`]: the connection is lost, or there is no answer by the deadline; otherwise what the
    /// server answers.
    pub(crate) async fn load(&self, script: &Script, deadline: Instant) -> Result<(), LinkError> {
        let mut redis = self.redis.clone();
        match timeout_at(deadline, script.load_async(&mut redis)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(match ServerError::try_from(error) {
                Ok(error) => LinkError::answer(&self.address, &error),
                Err(error) => LinkError::io(&self.address, &error),
            }),
            Err(_) => Err(LinkError::late(&self.address)),
        }
    }

    /// Sends one command, and gives its answer.
    ///
    /// # Errors
    /// [`LinkError::Unavailable`]: the connection is lost, or there is no answer within `within`; otherwise what the
    /// server answers.
    pub async fn ask(&self, command: &redis::Cmd, within: Duration) -> Result<Value, LinkError> {
        let mut redis = self.redis.clone();
        match timeout(within, redis.send_packed_command(command)).await {
            Ok(Ok(Value::ServerError(error))) => Err(LinkError::answer(&self.address, &error)),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(LinkError::io(&self.address, &error)),
            Err(_) => Err(LinkError::late(&self.address)),
        }
    }

    /// Whether the server is a primary.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub async fn is_primary(&self, within: Duration) -> Result<bool, LinkError> {
        let role = self.ask(&redis::cmd("ROLE"), within).await?;
        let Value::Array(parts) = role else { return Ok(false) };
        Ok(parts.first().and_then(text).as_deref() == Some("master"))
    }
}

/// The text of an answer that is one.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        _ => None,
    }
}

fn credentials(options: &RedisOptions, login: Login) -> RedisConnectionInfo {
    // The third protocol tells of a lost connection, and lets a subscriber ask other things too.
    let mut info = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
    let (user, password) = match login {
        Login::Server => {
            info = info.set_db(options.database.into());
            (&options.user, &options.password)
        }
        Login::Sentinel => (&options.sentinel_user, &options.sentinel_password),
    };
    if !password.is_empty() {
        info = info.set_password(password);
    }
    if !user.is_empty() {
        info = info.set_username(user);
    }
    info
}
