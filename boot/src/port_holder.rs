//! Who listens on a port, as far as the system tells.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// The states of `/proc/net/tcp` are hexadecimal numbers; this one is LISTEN.
const LISTEN: &str = "0A";

/// A process that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortHolder {
    pid: u32,
    command: String,
}

impl fmt::Display for PortHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.command, self.pid)
    }
}

/// Who has a port that cannot be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A process that listens on it.
    Listener(PortHolder),
    /// Nobody listens on it: a connection holds it (or a process that has not begun to listen).
    NoListener,
    /// The system does not tell: it has no `/proc`, or the process belongs to somebody else.
    Unknown,
}

/// Finds who has `port`, on whichever address.
pub(crate) fn find(port: u16) -> Holder {
    find_in(Path::new("/proc"), port)
}

fn find_in(proc: &Path, port: u16) -> Holder {
    // A system without IPv6 has one table only.
    let tables: Vec<String> = ["net/tcp", "net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(proc.join(table)).ok())
        .collect();
    if tables.is_empty() {
        return Holder::Unknown;
    }
    let sockets: Vec<PathBuf> = tables
        .iter()
        .flat_map(|table| listening_inodes(table, port))
        .map(|inode| format!("socket:[{inode}]").into())
        .collect();
    if sockets.is_empty() {
        return Holder::NoListener;
    }
    process_with(proc, &sockets).map_or(Holder::Unknown, Holder::Listener)
}

/// The process that has one of these open.
fn process_with(proc: &Path, sockets: &[PathBuf]) -> Option<PortHolder> {
    fs::read_dir(proc).ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let holds = fs::read_dir(entry.path().join("fd"))
            .ok()?
            .flatten()
            .any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(|target| sockets.contains(&target)));
        holds.then(|| PortHolder { pid, command: command(&entry.path()) })
    })
}

/// A line reads `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …`, addresses as `0100007F:7531`.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let wanted = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let listens = fields.get(1)?.ends_with(&wanted) && *fields.get(3)? == LISTEN;
            listens.then(|| fields.get(9).map(ToString::to_string)).flatten()
        })
        .collect()
}

fn command(process: &Path) -> String {
    let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&arguments).replace('\0', " ").trim().to_owned();
    match line.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.is_empty() => "a process without a command line".to_owned(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let Holder::Listener(holder) = find(port) else { panic!("this very process: {:?}", find(port)) };
        assert_eq!(holder.pid, std::process::id());
    }

    #[test]
    fn without_proc_nothing_is_known() {
        let nothing = tempfile::tempdir().expect("a directory");
        assert_eq!(find_in(nothing.path(), 30001), Holder::Unknown);
    }

    #[test]
    fn only_listening_sockets_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:7531 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n\
             1: 0100007F:7531 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n";
        assert_eq!(listening_inodes(table, 30001), ["4711"]);
        assert!(listening_inodes(table, 30002).is_empty());
    }
}
