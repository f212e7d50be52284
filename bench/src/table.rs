//! Records of several runs as a table in Markdown: a row for each figure, a column for each server.

use crate::record::{Better, Figure, Record, number};

/// The table of these records: the median of each figure over the runs of a work and server. Behind those of the other servers
/// stands how many times better the first one is: 2.00× is twice as much of what should be much, or half of what should be little.
#[must_use]
pub fn markdown(records: &[Record]) -> String {
    let servers = distinct(records.iter().map(|record| record.server.as_str()));
    let mut table =
        format!("| work | figure | {} |\n|---|---|{}\n", servers.join(" | "), "---:|".repeat(servers.len()));
    for work in distinct(records.iter().map(|record| record.work.as_str())) {
        let of_work: Vec<&Record> = records.iter().filter(|record| record.work == work).collect();
        let figures =
            || of_work.iter().flat_map(|record| &record.figures).filter(|it| it.better != Better::Neither);
        let mut title = work;
        for name in distinct(figures().map(|figure| figure.name.as_str())) {
            let cells = row(&servers, &of_work, name);
            table += &format!("| {title} | {name} | {} |\n", cells.join(" | "));
            title = "";
        }
        for record in of_work.iter().filter(|record| !record.faults.is_empty()) {
            table += &format!("| | **wrong** | {}: {} |\n", record.server, record.faults.join("; "));
        }
    }
    table
}

/// One figure of one work, of every server.
fn row(servers: &[&str], of_work: &[&Record], name: &str) -> Vec<String> {
    let middle = |server: &str| {
        let of_server = of_work.iter().filter(|record| record.server == server);
        let figures: Vec<&Figure> =
            of_server.flat_map(|record| &record.figures).filter(|figure| figure.name == name).collect();
        Some((median(figures.iter().map(|figure| figure.value))?, figures.first()?.better))
    };
    let first = servers.first().and_then(|server| middle(server)).map(|(value, _)| value);
    let cell = |(column, server): (usize, &&str)| match middle(server) {
        Some((value, better)) => cell(value, better, first.filter(|_| column > 0)),
        None => "–".to_owned(),
    };
    servers.iter().enumerate().map(cell).collect()
}

fn cell(value: f64, better: Better, first: Option<f64>) -> String {
    let times = match (first, better) {
        (Some(first), Better::More) => first / value,
        (Some(first), Better::Less) => value / first,
        _ => return number(value),
    };
    // Of a figure that is nothing, or less, nothing is a multiple.
    if times.is_finite() && times > 0.0 { format!("{} ({times:.2}×)", number(value)) } else { number(value) }
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
        record.figure(Better::More, "sends", value);
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
        more.figure(Better::Less, "latency", 5.0);
        let table = markdown(&[record("phalanx", 100.0), more]);
        assert!(table.contains("| direct | sends | 100 | 100 (1.00×) |"), "{table}");
        assert!(table.contains("|  | latency | – | 5.00 |"), "{table}");
    }

    #[test]
    fn less_is_better_where_it_is() {
        assert_eq!(cell(8.0, Better::Less, Some(4.0)), "8.00 (2.00×)");
        assert_eq!(cell(8.0, Better::More, Some(4.0)), "8.00 (0.50×)");
        for (value, first) in [(0.0, 4.0), (-1.0, 4.0), (4.0, 0.0)] {
            assert!(!cell(value, Better::Less, Some(first)).contains('×'), "{value} {first}");
        }
    }

    #[test]
    fn what_is_no_result_is_not_in_the_table() {
        let mut record = record("phalanx", 1.0);
        record.figure(Better::Neither, "share", 0.5);
        assert!(!markdown(&[record]).contains("share"));
    }

    #[test]
    fn an_even_number_of_runs_has_a_median_too() {
        assert_eq!(median([4.0, 1.0, 3.0, 2.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }
}
