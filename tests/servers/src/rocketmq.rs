//! Apache RocketMQ: a name server, and brokers that are registered there.

use rustix::process::Signal;

use crate::{
    ports::Port,
    process::{JVM_BUDGET, Process, converse, read},
};

/// Which brokers the name server knows (`GET_BROKER_CLUSTER_INFO`).
const BROKERS: u16 = 106;
/// A broker's own configuration (`GET_BROKER_CONFIG`): asked only to see whether it answers.
const CONFIGURATION: u16 = 26;

/// Changes a broker's configuration while it runs (`UPDATE_BROKER_CONFIG`).
const CONFIGURE: u16 = 25;

/// A name server, and at least one broker. A start of both takes some 3 s of processor time.
#[derive(Debug)]
pub struct RocketMq {
    names: Process,
    brokers: Vec<Process>,
}

impl RocketMq {
    /// Starts a name server and a broker, and waits until both serve and know one another.
    pub async fn start() -> Self {
        Self::with_brokers(1).await
    }

    /// The same with so many brokers, each the only one of its name. What is done to "the broker" is done to the first one; the others go on.
    pub async fn with_brokers(count: usize) -> Self {
        let names = Process::start("rocketmq-names", Port::reserve(), Vec::new());
        let arguments = vec![address(&names)];
        let broker = |_| Process::start("rocketmq", Port::reserve_with(2, 1), arguments.clone());
        let brokers = (0..count).map(broker).collect();
        let mut server = Self { names, brokers };
        server.serves().await;
        server
    }

    /// The name server's `host:port`.
    pub fn name_server(&self) -> String {
        address(&self.names)
    }

    /// `host:port` of each broker.
    pub fn brokers(&self) -> Vec<String> {
        self.brokers.iter().map(address).collect()
    }

    /// SIGKILL; the name server forgets it at once.
    pub async fn kill_broker(&mut self) {
        self.brokers[0].kill();
    }

    /// Starts it again with its data, and waits until it serves and is registered.
    pub async fn start_broker_again(&mut self) {
        self.brokers[0].launch();
        self.serves().await;
    }

    /// SIGSTOP: connections stay, nothing answers, and the name server goes on naming it.
    pub fn freeze_broker(&self) {
        self.brokers[0].signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw_broker(&self) {
        self.brokers[0].signal(Signal::CONT);
    }

    /// Whether the broker may be read; it answers all else as before. Until it is started again.
    ///
    /// # Panics
    /// It does not answer.
    pub async fn let_broker_be_read(&self, may: bool) {
        let setting = if may { "brokerPermission=6" } else { "brokerPermission=2" };
        command(self.brokers[0].port(), CONFIGURE, setting).await.expect("a broker that can be configured");
    }

    /// SIGKILL; brokers go on.
    pub async fn kill_names(&mut self) {
        self.names.kill();
    }

    /// Starts it again, knowing nothing, and waits until the brokers that run are registered anew: up to ten seconds. None may be frozen.
    pub async fn start_names_again(&mut self) {
        self.names.launch();
        self.serves().await;
    }

    /// SIGSTOP: connections stay, nothing answers.
    pub fn freeze_names(&self) {
        self.names.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw_names(&self) {
        self.names.signal(Signal::CONT);
    }

    async fn serves(&mut self) {
        let names = self.names.port();
        for broker in self.brokers.iter_mut().filter(|broker| broker.runs()) {
            let address = format!("\"{}\"", address(broker));
            let serves = |port| {
                let address = &address;
                async move {
                    command(names, BROKERS, "").await.is_some_and(|known| known.contains(address))
                        && command(port, CONFIGURATION, "").await.is_some()
                }
            };
            broker.until_in("an answer, and its name at the name server,", JVM_BUDGET, serves).await;
        }
    }
}

fn address(process: &Process) -> String {
    format!("127.0.0.1:{}", process.port())
}

/// Sends a command of the remoting protocol, and answers header and body of a successful answer.
async fn command(port: u16, code: u16, body: &str) -> Option<String> {
    let header =
        format!(r#"{{"code":{code},"language":"OTHER","version":0,"opaque":1,"flag":0,"extFields":{{}}}}"#);
    let header_length = u32::try_from(header.len()).ok()?;
    // The whole but for this number, then the header, then the body; the first byte of its length says that it is JSON.
    let length = header_length + 4 + u32::try_from(body.len()).ok()?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(header_length.to_be_bytes());
    frame.extend(header.bytes());
    frame.extend(body.bytes());
    let answer = converse(port, &frame, async |stream| {
        let length = u32::from_be_bytes(read(stream, 4).await?.try_into().ok()?);
        read(stream, usize::try_from(length).ok()?).await
    });
    let answer = String::from_utf8_lossy(&answer.await?).into_owned();
    answer.contains(r#""code":0,"#).then_some(answer)
}
