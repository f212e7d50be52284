//! Apache Kafka: one server, broker and controller in one.

use rustix::process::Signal;

use crate::{
    ports::Port,
    process::{Process, exchange},
};

/// A question that any version answers: which requests the broker knows (ApiVersions, version 0, correlation 7, client "t").
const API_VERSIONS: [u8; 15] = [0, 0, 0, 11, 0, 18, 0, 0, 0, 0, 0, 7, 0, 1, b't'];
/// The correlation that the answer repeats, and that there is no error.
const ANSWERED: [u8; 6] = [0, 0, 0, 7, 0, 0];

/// One Kafka server. A start takes some 4 s of processor time.
#[derive(Debug)]
pub struct Kafka {
    process: Process,
}

impl Kafka {
    /// Starts a server, and waits until it serves.
    pub async fn start() -> Self {
        let mut server = Self { process: Process::start("kafka", Port::reserve(), Vec::new()) };
        server.serves().await;
        server
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.process.port())
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again with its data, and waits until it serves.
    pub async fn start_again(&mut self) {
        self.process.launch();
        self.serves().await;
    }

    /// SIGSTOP: connections stay, nothing answers.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    async fn serves(&mut self) {
        let serves = |port| async move {
            exchange(port, &API_VERSIONS, 10).await.is_some_and(|answer| answer[4..] == ANSWERED)
        };
        self.process.until_in("an answer", crate::process::JVM_BUDGET, serves).await;
    }
}
