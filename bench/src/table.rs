//! Records of several runs as a table in Markdown: a row for each figure, a column for each server.

use crate::record::{Record, number};

/// The table of these records: the median of each figure over the runs of a work and server, and behind it how many times
/// that figure the first server reached.
#[must_use]
pub fn markdown(records: &[Record]) -> String {
    let servers = distinct(records.iter().map(|record| record.server.as_str()));
    let mut table =
        format!("| work | figure | {} |\n|---|---|{}\n", servers.join(" | "), "---:|".repeat(servers.len()));
    for work in distinct(records.iter().map(|record| record.work.as_str())) {
        let of_work = || records.iter().filter(|record| record.work == work);
        let mut title = work;
        let names = of_work().flat_map(|record| record.figures.iter().map(|figure| figure.name.as_str()));
        for name in distinct(names) {
            let middle = |server: &str| {
                median(of_work().filter(|record| record.server == server).flat_map(|record| {
                    record.figures.iter().filter(|figure| figure.name == name).map(|figure| figure.value)
                }))
            };
            let first = servers.first().and_then(|server| middle(server));
            let cells: Vec<String> = servers
                .iter()
                .enumerate()
                .map(|(column, server)| cell(middle(server), first.filter(|_| column > 0)))
                .collect();
            table += &format!("| {title} | {name} | {} |\n", cells.join(" | "));
            title = "";
        }
        for record in of_work().filter(|record| !record.faults.is_empty()) {
            table += &format!("| | **wrong** | {}: {} |\n", record.server, record.faults.join("; "));
        }
    }
    table
}

fn cell(value: Option<f64>, first: Option<f64>) -> String {
    let Some(value) = value else { return "–".to_owned() };
    match first {
        Some(first) if value > 0.0 && first > 0.0 => format!("{} ({:.2}×)", number(value), first / value),
        _ => number(value),
    }
}

/// In the order in which they came first.
fn distinct<'a>(items: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(server: &str, value: f64) -> Record {
        let mut record = Record::new("direct".into(), server);
        record.figure("sends", value);
        record
    }

    #[test]
    fn the_median_of_each_server_stands_beside_the_others() {
        let mut wrong = record("node", 200.0);
        wrong.fault("lost 3");
        let records = [
            record("phalanx", 900.0),
            record("node", 100.0),
            record("phalanx", 1_200.0),
            wrong,
            record("phalanx", 1_000.0),
        ];
        let table = markdown(&records);
        assert_eq!(
            table,
            "| work | figure | phalanx | node |\n|---|---|---:|---:|\n\
             | direct | sends | 1,000 | 150 (6.67×) |\n| | **wrong** | node: lost 3 |\n"
        );
    }

    #[test]
    fn a_figure_that_one_server_lacks_is_a_dash() {
        let mut more = record("node", 100.0);
        more.figure("latency", 5.0);
        let table = markdown(&[record("phalanx", 100.0), more]);
        assert!(table.contains("| direct | sends | 100 | 100 (1.00×) |"), "{table}");
        assert!(table.contains("|  | latency | – | 5.00 |"), "{table}");
    }

    #[test]
    fn an_even_number_of_runs_has_a_median_too() {
        assert_eq!(median([4.0, 1.0, 3.0, 2.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }
}
