//! A wire to a server, which can be cut, fall silent, and lose what comes back.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// What passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// Connections end, and end again as soon as they are made.
    Cut,
    /// Connections stay, nothing passes.
    Silent,
    /// Connections stay, and only answers do not pass.
    Deaf,
}

/// Forwards connections to one server while it is whole. What was under way when it fell silent passes once it is mended, as after a
/// partition.
#[derive(Debug)]
pub struct Wire {
    address: String,
    state: watch::Sender<State>,
}

impl Wire {
    /// To the server at `server`, `host:port`.
    pub async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let state = watch::Sender::new(State::Whole);
        let mut follows = state.subscribe();
        tokio::spawn(async move {
            // Ends with the wire.
            while let Ok((client, _)) = tokio::select! {
                accepted = listener.accept() => accepted,
                () = async { while follows.changed().await.is_ok() {} } => return,
            } {
                tokio::spawn(forward(client, server.clone(), follows.clone()));
            }
        });
        Self { address, state }
    }

    /// `host:port` of this end.
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// Connections end.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Connections stay, nothing passes.
    pub fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    /// What is asked arrives, what is answered does not.
    pub fn deafen(&self) {
        self.state.send_replace(State::Deaf);
    }

    /// Everything passes again.
    pub fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

async fn forward(client: TcpStream, server: String, mut state: watch::Receiver<State>) {
    if *state.borrow() == State::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (questions, answers) = (state.clone(), state.clone());
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pass(from_client, to_server, questions, |state| matches!(state, State::Whole | State::Deaf)) => {}
        () = pass(from_server, to_client, answers, |state| state == State::Whole) => {}
        // An error: the wire is gone, and its connections with it.
        _ = state.wait_for(|state| *state == State::Cut) => {}
    }
}

/// Until one side ends.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    passes: impl Fn(State) -> bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(count) = from.read(&mut buffer).await else { return };
        if state.wait_for(|state| passes(*state)).await.is_err() {
            return;
        }
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
