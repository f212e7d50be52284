//! Memory of idle connections, as a slope between two sizes.

use std::fs;

use anyhow::Context;
use clap::Args;

use super::{Bench, crowd::Crowd};
use crate::{
    procfs,
    record::{Better, Record, number},
    servers::Process,
    settle::until_settled,
    slope::Slope,
};

/// Figures that differ by less than this, in bytes, are the same.
const STILL: u64 = 128 << 10;
/// The larger size is so many times the smaller one.
const LARGER: usize = 3;
const PAGE_BYTES: u64 = 4096;

/// Holds N, then 3 N idle connections of users in one group, and says what each further one takes: resident memory (RSS) and its
/// proportional part (PSS) of the server's processes, and the kernel's memory beside it.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// N, the smaller size. The larger one may have as many connections as this process may have open files.
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    pub connections: usize,
    /// Then N more, of users who are in so many further groups: what does each group take? 0 leaves it out.
    #[arg(long, value_name = "GROUPS", default_value_t = 0)]
    pub further_groups: usize,
}

/// What is in use at one size.
#[derive(Debug, Clone)]
struct Look {
    connections: u64,
    /// Of each process: RSS, PSS, open files.
    processes: Vec<(u64, u64, u64)>,
    slab: u64,
    tcp: u64,
}

/// Measures the memory of idle connections.
///
/// # Errors
/// The server does not do what it should, or its processes cannot be looked at.
pub async fn run(bench: &Bench, options: &Options) -> anyhow::Result<Vec<Record>> {
    anyhow::ensure!(!bench.servers.is_empty(), "memory needs the server's processes: --pid");
    let (small, large) = (options.connections, options.connections * LARGER);
    let with_groups = if options.further_groups > 0 { large + small } else { large };
    let users: Vec<String> = (0..with_groups).map(|number| bench.name(&number.to_string())).collect();
    let mut groups = vec![bench.name("group")];
    bench.say(&format!("making a group of {}", users.len()));
    bench.target.make_group(&groups[0], &users).await?;

    let mut record = Record::new("memory".to_owned(), &bench.label);
    let mut crowd = Crowd::default();
    crowd.join(bench, &users[..small], &groups).await?;
    let at_small = look(bench, &crowd, &mut record).await?;
    crowd.join(bench, &users[small..large], &groups).await?;
    let at_large = look(bench, &crowd, &mut record).await?;
    let rss = slope(&at_small, &at_large, |look| look.processes.iter().map(|it| it.0).sum());
    record.figure(Better::Less, "RSS, bytes a connection", rss);
    record.figure(
        Better::Less,
        "PSS, bytes a connection",
        slope(&at_small, &at_large, |look| look.processes.iter().map(|it| it.1).sum()),
    );
    record.figure(
        Better::Less,
        "kernel slab, bytes a connection, both ends",
        slope(&at_small, &at_large, |look| look.slab),
    );
    record.figure(
        Better::Less,
        "kernel TCP buffers, bytes a connection, both ends",
        slope(&at_small, &at_large, |look| look.tcp),
    );
    if bench.servers.len() > 1 {
        for (place, process) in bench.servers.iter().enumerate() {
            each_process(&mut record, process, at_small.processes[place], at_large.processes[place]);
        }
    }

    if options.further_groups > 0 {
        for number in 0..options.further_groups {
            let group = bench.name(&format!("group-{number}"));
            bench.target.make_group(&group, &users[large..]).await?;
            groups.push(group);
        }
        // What making them took must not count as the connections'.
        let before = look(bench, &crowd, &mut record).await?;
        crowd.join(bench, &users[large..], &groups).await?;
        let after = look(bench, &crowd, &mut record).await?;
        let more = slope(&before, &after, |look| look.processes.iter().map(|it| it.0).sum());
        let each = more.zip(rss).map(|(more, one)| (more - one) / options.further_groups as f64);
        record.figure(Better::Less, "RSS, bytes for each further group of a connection", each);
    }
    if let Some(fault) = crowd.fault() {
        record.fault(fault);
    }
    Ok(vec![record])
}

/// A process that holds connections has one file for each: its own slope says what it takes.
fn each_process(record: &mut Record, process: &Process, small: (u64, u64, u64), large: (u64, u64, u64)) {
    let of_its_own = Slope { from: (small.2, small.0), to: (large.2, large.0) };
    if large.2.saturating_sub(small.2) > 100 {
        record.figure(
            Better::Neither,
            &format!("RSS, bytes a connection of {}", process.name),
            of_its_own.each(),
        );
    }
}

fn slope(small: &Look, large: &Look, figure: impl Fn(&Look) -> u64) -> Option<f64> {
    Slope { from: (small.connections, figure(small)), to: (large.connections, figure(large)) }.each()
}

/// Waits until the server's memory stands still, and looks.
async fn look(bench: &Bench, crowd: &Crowd, record: &mut Record) -> anyhow::Result<Look> {
    let rss = || {
        let each = bench.servers.iter().map(|process| Ok(process.memory()?.rss));
        each.sum::<anyhow::Result<u64>>()
    };
    if !until_settled(STILL, rss).await? {
        record.fault(format!("the memory did not settle at {} connections", crowd.len()));
    }
    let processes = bench.servers.iter().map(|process| {
        let memory = process.memory()?;
        anyhow::Ok((memory.rss, memory.pss, process.open_files()?))
    });
    let look = Look {
        connections: crowd.len() as u64,
        processes: processes.collect::<Result<_, _>>()?,
        slab: kernel("meminfo", procfs::slab)?,
        tcp: kernel("net/sockstat", procfs::tcp_pages)? * PAGE_BYTES,
    };
    let megabytes = look.processes.iter().map(|it| it.0).sum::<u64>() as f64 / f64::from(1 << 20);
    bench.say(&format!("{} MiB RSS at {} connections", number(megabytes), look.connections));
    Ok(look)
}

fn kernel(file: &str, read: fn(&str) -> Option<u64>) -> anyhow::Result<u64> {
    let path = format!("/proc/{file}");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    read(&text).with_context(|| format!("unreadable {path}"))
}
