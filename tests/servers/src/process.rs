//! One process: started, killed, frozen, started again.

use std::{
    fs::{self, File},
    future::Future,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::ports::Port;

/// How long a server may take until it answers.
const BUDGET: Duration = Duration::from_secs(40);

/// The same for one that needs many seconds of processor time, which it may have to share, and may have to be fetched before.
pub(crate) const JVM_BUDGET: Duration = Duration::from_secs(180);

/// Between two looks whether a server answers.
const LOOK: Duration = Duration::from_millis(20);

/// How much of a log is shown.
const LOG_LINES: usize = 30;

/// A server that `bin/lib/server.sh` runs.
#[derive(Debug)]
pub(crate) struct Process {
    kind: &'static str,
    arguments: Vec<String>,
    port: Port,
    directory: TempDir,
    child: Option<Child>,
}

impl Process {
    /// Starts a server; it need not answer yet.
    pub(crate) fn start(kind: &'static str, port: Port, arguments: Vec<String>) -> Self {
        let directory = tempfile::Builder::new().prefix("phalanx-server-").tempdir().expect("a directory");
        let mut process = Self { kind, arguments, port, directory, child: None };
        process.launch();
        process
    }

    /// Starts it again, in the same directory, on the same port.
    pub(crate) fn launch(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.kind);
        let log = File::options().create(true).append(true).open(self.log()).expect("a log");
        let error = log.try_clone().expect("the same log");
        let mut command = Command::new(script());
        command
            .args([self.kind, &self.directory.path().to_string_lossy(), &self.port().to_string()])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(error);
        self.child = Some(spawn(command));
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number
    }

    pub(crate) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// SIGKILL; returns once the process is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it has ended");
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        let pid = Pid::from_raw(child.id().cast_signed()).expect("a process id");
        kill_process(pid, signal).expect("it can be signalled");
    }

    /// Waits until `answers` is true.
    pub(crate) async fn until<F, A>(&mut self, what: &str, answers: F)
    where
        F: Fn(u16) -> A,
        A: Future<Output = bool>,
    {
        self.until_in(what, BUDGET, answers).await;
    }

    /// The same within another time.
    pub(crate) async fn until_in<F, A>(&mut self, what: &str, budget: Duration, answers: F)
    where
        F: Fn(u16) -> A,
        A: Future<Output = bool>,
    {
        let deadline = Instant::now() + budget;
        while !answers(self.port()).await {
            let child = self.child.as_mut().expect("the server runs");
            let ended = child.try_wait().expect("its state is known");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{} on port {}: {what} did not come ({ended:?}); its log ends:\n{}",
                self.kind,
                self.port(),
                self.log_tail()
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a line, and answers all that comes until the server closes; nothing where it cannot be reached.
pub(crate) async fn ask(port: u16, line: &str) -> Option<String> {
    let all = async |stream: &mut TcpStream| {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    converse(port, line.as_bytes(), all).await
}

/// Sends bytes, and answers the first `length` that come back; nothing where the server cannot be reached.
pub(crate) async fn exchange(port: u16, question: &[u8], length: usize) -> Option<Vec<u8>> {
    converse(port, question, async |stream| read(stream, length).await).await
}

/// Sends bytes, and answers what is read of what comes back; nothing where the server cannot be reached.
pub(crate) async fn converse<T>(
    port: u16,
    question: &[u8],
    reads: impl AsyncFnOnce(&mut TcpStream) -> Option<T>,
) -> Option<T> {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        stream.write_all(question).await.ok()?;
        reads(&mut stream).await
    };
    tokio::time::timeout(Duration::from_secs(10), asked).await.ok().flatten()
}

/// The next `length` bytes.
pub(crate) async fn read(stream: &mut TcpStream, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

/// Spawns from a thread that lives as long as this process: a server ends with the thread that started it, and the thread of
/// a test ends with the test, which may have started a server that all tests of the process share.
fn spawn(command: Command) -> Child {
    type Job = (Command, mpsc::Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, todo) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in todo {
                // Whoever asked waits for it.
                let _ = answer.send(command.spawn());
            }
        });
        jobs
    });
    let (answer, spawned) = mpsc::channel();
    spawner.send((command, answer)).expect("the spawner lives");
    spawned.recv().expect("the spawner lives").expect("bin/lib/server.sh can be run")
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin/lib/server.sh")
}
