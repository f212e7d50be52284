//! `phalanx-bench`: one work against one server, or a table of the results.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context;
use bench::{
    record::Record,
    table,
    target::TargetOptions,
    work::{Bench, connect, direct, group, memory},
};
use clap::{Parser, Subcommand};

/// A load generator for Phalanx and other Socket.IO servers that checks what it is given.
///
/// Results go to the standard output, progress to the standard error output. It exits with 1 where something was lost, repeated or
/// out of order, or where a connection ended. It works on one thread: a second one beside it takes more connections.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Memory of idle connections, as a slope between two sizes.
    Memory {
        #[command(flatten)]
        target: TargetOptions,
        #[command(flatten)]
        options: memory::Options,
    },
    /// New connections for each second of the server's processor time.
    Connect {
        #[command(flatten)]
        target: TargetOptions,
        #[command(flatten)]
        options: connect::Options,
    },
    /// Sends between two users: closed loop, or open loop at a fixed rate.
    Direct {
        #[command(flatten)]
        target: TargetOptions,
        #[command(flatten)]
        options: direct::Options,
    },
    /// Sends to a group.
    Group {
        #[command(flatten)]
        target: TargetOptions,
        #[command(flatten)]
        options: group::Options,
    },
    /// Sends to a room. Servers that have none take a group for it.
    Room {
        #[command(flatten)]
        target: TargetOptions,
        #[command(flatten)]
        options: group::Options,
    },
    /// The results of several runs side by side, as a table in Markdown.
    Table {
        /// What --results has gathered.
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().work) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("phalanx-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Answers whether nothing went wrong.
fn run(work: Work) -> anyhow::Result<bool> {
    let target = match &work {
        Work::Memory { target, .. }
        | Work::Connect { target, .. }
        | Work::Direct { target, .. }
        | Work::Group { target, .. }
        | Work::Room { target, .. } => target.clone(),
        Work::Table { file } => {
            print!("{}", table::markdown(&read(file)?));
            return Ok(true);
        }
    };
    let bench = Bench::new(&target);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let records = tokio::task::LocalSet::new().block_on(&runtime, async {
        match &work {
            Work::Memory { options, .. } => memory::run(&bench, options).await,
            Work::Connect { options, .. } => connect::run(&bench, options).await,
            Work::Direct { options, .. } => direct::run(&bench, options).await,
            Work::Group { options, .. } => group::run(&bench, group::Audience::Group, options).await,
            Work::Room { options, .. } => group::run(&bench, group::Audience::Room, options).await,
            Work::Table { .. } => Ok(Vec::new()),
        }
    })?;
    for record in &records {
        print!("{}", record.text());
        if let Some(path) = &target.results {
            record.append(path)?;
        }
    }
    Ok(records.iter().all(|record| record.faults.is_empty()))
}

fn read(file: &PathBuf) -> anyhow::Result<Vec<Record>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    text.lines().map(|line| serde_json::from_str(line).context("not a result")).collect()
}
