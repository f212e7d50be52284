//! Given a process that raises a persistent watermark, when it is killed in the middle, then the watermark is never
//! below what was acknowledged, and the next process goes on from there.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use roster::{EmbeddedRoster, Roster, Version};

/// Where the child writes. Its presence makes a run of this test the child.
const DIRECTORY: &str = "PHALANX_ROSTER_KILL_DIRECTORY";
const TEST: &str = "a_killed_process_keeps_what_it_had_written";
const PATH: &str = "/idgen/watermark";

/// After how many acknowledgements the child of each round is killed.
const ROUNDS: [i64; 5] = [1, 2, 20, 75, 200];

#[test]
fn a_killed_process_keeps_what_it_had_written() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        run(write_until_killed(Path::new(&directory)));
        return;
    }
    let directory = tempfile::tempdir().expect("a directory for the test");
    let mut acknowledged = Version(0);
    for wanted in ROUNDS {
        let last = kill_after(wanted, directory.path());
        assert!(last > acknowledged, "the child went on from {acknowledged:?}, not from {last:?}");
        acknowledged = last;
        let found = run(read(directory.path()));
        assert!(found >= acknowledged, "{acknowledged:?} was acknowledged, {found:?} is there");
        acknowledged = found;
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

async fn write_until_killed(directory: &Path) {
    let roster = EmbeddedRoster::open(directory).await.expect("the one before is dead");
    let (_, mut version) = match roster.read(PATH).await.expect("a read") {
        Some(found) => found,
        None => (Vec::new(), roster.create(PATH, b"0").await.expect("it is not there")),
    };
    loop {
        version =
            roster.write(PATH, (version.0 + 1).to_string().as_bytes(), version).await.expect("nobody else");
        println!("ack {}", version.0);
    }
}

/// This very test, as another process; gives the last version that it acknowledged, also after the kill.
fn kill_after(wanted: i64, directory: &Path) -> Version {
    let mut child = Command::new(std::env::current_exe().expect("the test's own file"))
        .args([TEST, "--exact", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let (mut line, mut taken, mut last) = (String::new(), 0, Version(0));
    while lines.read_line(&mut line).expect("the pipe works") > 0 {
        // A line that was cut off says nothing. The test harness writes before the first one, on the same line.
        let whole = line.strip_suffix('\n').and_then(|line| line.rsplit_once("ack "));
        if let Some((_, version)) = whole {
            last = Version(version.parse().expect("a number"));
            taken += 1;
            if taken == wanted {
                child.kill().expect("it runs until it is killed");
            }
        }
        line.clear();
    }
    child.wait().expect("it has been killed");
    assert!(taken >= wanted, "the child stopped by itself after {taken}");
    last
}

async fn read(directory: &Path) -> Version {
    let roster = EmbeddedRoster::open(directory).await.expect("the child is dead");
    let (data, version) = roster.read(PATH).await.expect("a read").expect("the child has created it");
    assert_eq!(String::from_utf8_lossy(&data), version.0.to_string(), "content and version belong together");
    version
}
