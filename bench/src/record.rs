//! The figures of one run.

use std::{fs::OpenOptions, io::Write, path::Path};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::servers::CpuTime;

/// What one work found out about one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The work, with what distinguishes it: "group of 2000, 16 in flight".
    pub work: String,
    /// The server.
    pub server: String,
    /// The figures, the most important one first.
    pub figures: Vec<Figure>,
    /// Each process of the server, and its processor seconds.
    pub cpu: Vec<(String, f64)>,
    /// What went wrong; empty where the run counts.
    pub faults: Vec<String>,
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is, with its unit.
    pub name: String,
    /// How much.
    pub value: f64,
    /// What one wants of it.
    pub better: Better,
}

/// Which of two figures is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// The larger one.
    More,
    /// The smaller one.
    Less,
    /// Neither: it says how the run was, and is no result.
    Neither,
}

impl Record {
    /// Without figures.
    #[must_use]
    pub fn new(work: String, server: &str) -> Self {
        Self { work, server: server.to_owned(), figures: Vec::new(), cpu: Vec::new(), faults: Vec::new() }
    }

    /// Adds a figure; what could not be measured is left out.
    pub fn figure(&mut self, better: Better, name: &str, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into() {
            self.figures.push(Figure { name: name.to_owned(), value, better });
        }
    }

    /// Adds the processor time of the server, and of the generator for comparison, given how long the stretch was.
    pub fn cpu_time(&mut self, time: &CpuTime, seconds: f64) {
        self.figure(Better::Neither, "generator's share of a CPU", time.generator / seconds);
        self.figure(Better::Neither, "CPU seconds of the server", time.total());
        self.cpu.clone_from(&time.each);
    }

    /// Adds something that went wrong.
    pub fn fault(&mut self, fault: impl Into<String>) {
        self.faults.push(fault.into());
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}, {}\n", self.server, self.work);
        let width = self.figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
        for Figure { name, value, .. } in &self.figures {
            text += &format!("  {name:width$}  {:>12}\n", number(*value));
        }
        if self.cpu.len() > 1 {
            let each: Vec<String> =
                self.cpu.iter().map(|(name, seconds)| format!("{name} {seconds:.2}")).collect();
            text += &format!("  CPU seconds of each process: {}\n", each.join(", "));
        }
        for fault in &self.faults {
            text += &format!("  WRONG: {fault}\n");
        }
        text
    }

    /// Adds it to a file, a line of JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&self, path: &Path) -> anyhow::Result<()> {
        let line = serde_json::to_string(self)? + "\n";
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A number as people read it: thousands apart, and as many digits as mean something.
#[must_use]
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) =
        text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    fraction.map_or_else(|| format!("{sign}{grouped}"), |fraction| format!("{sign}{grouped}.{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        for (value, text) in [
            (0.0, "0.00"),
            (0.123, "0.12"),
            (12.34, "12.3"),
            (999.6, "1,000"),
            (1_234_567.0, "1,234,567"),
            (-1_234.0, "-1,234"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_record_comes_back_from_its_file() {
        let mut record = Record::new("direct".into(), "phalanx");
        record.figure(Better::More, "sends", 12.5);
        record.figure(Better::Less, "nothing", None);
        record.fault("lost 1");
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("results");
        record.append(&path).expect("a file");
        record.append(&path).expect("a file");
        let lines = std::fs::read_to_string(path).expect("a file");
        let read: Vec<Record> =
            lines.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
        assert_eq!(read, [record.clone(), record]);
    }
}
