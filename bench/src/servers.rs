//! The processes of the server that is measured.

use std::{fs, str::FromStr};

use anyhow::Context;

use crate::procfs::{self, Memory};

/// One process of the server, or of what it needs (Redis).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// What it is called in the figures.
    pub name: String,
    /// Its id.
    pub pid: u32,
}

/// `NAME=PID`, or `PID` alone.
impl FromStr for Process {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, pid) = text.split_once('=').unwrap_or(("", text));
        let pid = pid.parse().map_err(|_| format!("{text}: expected NAME=PID or PID"))?;
        let name = if name.is_empty() { format!("pid {pid}") } else { name.to_owned() };
        Ok(Self { name, pid })
    }
}

impl Process {
    fn read(&self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.pid);
        fs::read_to_string(&path).with_context(|| format!("{}: cannot read {path}", self.name))
    }

    /// The seconds of processor time that it has used, all threads, user and kernel; steps of 10 ms.
    ///
    /// # Errors
    /// The process is gone.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let ticks = procfs::cpu_ticks(&self.read("stat")?).context("unreadable /proc/PID/stat")?;
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Its memory.
    ///
    /// # Errors
    /// The process is gone, or belongs to somebody else.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        procfs::memory(&self.read("smaps_rollup")?).context("unreadable /proc/PID/smaps_rollup")
    }

    /// How many files it has open, sockets included.
    ///
    /// # Errors
    /// The process is gone, or belongs to somebody else.
    pub fn open_files(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/fd", self.pid);
        Ok(fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?.count() as u64)
    }
}

/// The processor time of several processes since a moment.
#[derive(Debug)]
pub struct CpuClock {
    began: Vec<f64>,
    generator: f64,
}

/// Processor seconds within a stretch of time.
#[derive(Debug, Clone, PartialEq)]
pub struct CpuTime {
    /// Each process of the server.
    pub each: Vec<(String, f64)>,
    /// The load generator itself.
    pub generator: f64,
}

impl CpuTime {
    /// Of all processes of the server.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.each.iter().map(|(_, seconds)| seconds).sum()
    }

    /// How much of something there was for each second of processor time; `None` where it was too little to measure.
    #[must_use]
    pub fn rate(&self, count: u64) -> Option<f64> {
        // Below ten steps of the clock a figure says nothing.
        (self.total() >= 0.1).then(|| count as f64 / self.total())
    }
}

fn generator() -> Process {
    Process { name: "generator".to_owned(), pid: std::process::id() }
}

impl CpuClock {
    /// From now on.
    ///
    /// # Errors
    /// A process is gone.
    pub fn start(servers: &[Process]) -> anyhow::Result<Self> {
        let began = servers.iter().map(Process::cpu_seconds).collect::<Result<_, _>>()?;
        Ok(Self { began, generator: generator().cpu_seconds()? })
    }

    /// What was used since the start, by the same processes.
    ///
    /// # Errors
    /// A process is gone.
    pub fn used(&self, servers: &[Process]) -> anyhow::Result<CpuTime> {
        let used = |(process, began): (&Process, &f64)| {
            anyhow::Ok((process.name.clone(), process.cpu_seconds()? - began))
        };
        Ok(CpuTime {
            each: servers.iter().zip(&self.began).map(used).collect::<Result<_, _>>()?,
            generator: generator().cpu_seconds()? - self.generator,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_or_not() {
        assert_eq!("redis=12".parse(), Ok(Process { name: "redis".into(), pid: 12 }));
        assert_eq!("12".parse(), Ok(Process { name: "pid 12".into(), pid: 12 }));
        assert!("redis".parse::<Process>().is_err());
        assert!("redis=x".parse::<Process>().is_err());
    }

    #[test]
    fn the_processor_time_of_all_processes_counts() {
        let time = CpuTime { each: vec![("a".into(), 1.5), ("redis".into(), 0.5)], generator: 9.0 };
        assert_eq!(time.rate(1_000), Some(500.0));
        let little = CpuTime { each: vec![("a".into(), 0.05)], generator: 0.0 };
        assert_eq!(little.rate(1_000), None);
    }

    #[test]
    fn work_takes_processor_time() {
        let servers = [generator()];
        let clock = CpuClock::start(&servers).expect("this process");
        let mut number = 1_u64;
        while clock.used(&servers).expect("this process").total() < 0.05 {
            number = std::hint::black_box(number.wrapping_mul(3));
        }
    }
}
