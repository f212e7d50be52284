//! The load generator against the floor, which does what it should, or goes wrong on purpose.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

/// The floor, ended with the test.
struct Floor {
    process: Child,
    url: String,
}

impl Floor {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_bench-floor"))
            .args(["--port", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the floor starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("it says that it is ready");
        let port = line.trim().rsplit(' ').next().expect("a port");
        Self { url: format!("http://127.0.0.1:{port}"), process }
    }

    fn bench(&self, work: &str, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_phalanx-bench"))
            .args([work, "--target", "socketio", "--label", "floor", "--url", &self.url])
            .args(["--pid", &format!("floor={}", self.process.id())])
            .args(arguments)
            .output()
            .expect("the generator runs")
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.process.kill().expect("it runs still");
        self.process.wait().expect("it has ended");
    }
}

/// Short, and with little patience for what does not come.
const SHORT: [&str; 6] = ["--warm-up", "0", "--seconds", "0.3", "--patience", "0.5"];

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_server_without_faults_passes() {
    let floor = Floor::start(&[]);
    let works: [(&str, &[&str]); 4] = [
        ("direct", &["--pairs", "5", "--then-share", "0.5"]),
        ("direct", &["--pairs", "5", "--rate", "500"]),
        ("group", &["--members", "20", "--in-flight", "1", "--in-flight", "4"]),
        ("room", &["--members", "20", "--in-flight", "4"]),
    ];
    for (work, arguments) in works {
        let output = floor.bench(work, &[arguments, &SHORT].concat());
        assert!(output.status.success(), "{work} {arguments:?}: {}", text(&output));
    }
    let output = floor.bench("connect", &["--connections", "50"]);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn memory_is_a_slope() {
    let floor = Floor::start(&[]);
    let output = floor.bench("memory", &["--connections", "100"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("RSS, bytes a connection"), "{}", text(&output));
}

#[test]
fn every_fault_is_noticed() {
    for (fault, word) in [("lose", "lost"), ("repeat", "repeated"), ("delay", "out of order")] {
        for work in [&["direct", "--pairs", "1"][..], &["group", "--members", "3"]] {
            let floor = Floor::start(&["--fault", fault]);
            let output = floor.bench(work[0], &[&work[1..], &SHORT, &["--in-flight", "4"]].concat());
            assert_eq!(output.status.code(), Some(1), "{fault} {work:?}: {}", text(&output));
            let wrong = text(&output).lines().any(|line| line.contains("WRONG") && line.ends_with(word));
            assert!(wrong, "{fault} {work:?}: {}", text(&output));
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let floor = Floor::start(&[]);
    let url = floor.url.clone();
    drop(floor);
    let output = Command::new(env!("CARGO_BIN_EXE_phalanx-bench"))
        .args(["direct", "--target", "socketio", "--url", &url])
        .output()
        .expect("the generator runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains(url.trim_start_matches("http://")), "{}", text(&output));
}
