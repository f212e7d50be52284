//! A wire to a server that can be cut, and that can fall silent.

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// Connections end.
    Cut,
    /// Connections stay, nothing passes.
    Silent,
}

/// Forwards connections while it is whole.
pub(crate) struct Wire {
    address: String,
    state: watch::Sender<State>,
}

impl Wire {
    pub(crate) async fn to(server: String) -> Self {
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

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    pub(crate) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    pub(crate) fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    pub(crate) fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

async fn forward(mut client: TcpStream, server: String, mut state: watch::Receiver<State>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    while *state.borrow_and_update() != State::Cut {
        let whole = *state.borrow() == State::Whole;
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut server), if whole => return,
            changed = state.changed() => if changed.is_err() { return },
        }
    }
}
