//! What the files of `/proc` say, out of their text.

/// The memory of a process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// What is resident.
    pub rss: u64,
    /// The same, what is shared divided by those who share it.
    pub pss: u64,
}

/// `/proc/PID/stat`: the processor time of all threads, in user and kernel mode, in clock ticks.
#[must_use]
pub fn cpu_ticks(stat: &str) -> Option<u64> {
    // The program's name may hold anything, also spaces and parentheses: what is counted begins behind the last one.
    let (_, fields) = stat.rsplit_once(')')?;
    // The third field of the file comes first: utime is the 14th, stime the 15th.
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let utime: u64 = fields.next()?.parse().ok()?;
    let stime: u64 = fields.next()?.parse().ok()?;
    Some(utime + stime)
}

/// `/proc/PID/smaps_rollup`: the memory of a process.
#[must_use]
pub fn memory(smaps_rollup: &str) -> Option<Memory> {
    Some(Memory { rss: kilobytes(smaps_rollup, "Rss:")?, pss: kilobytes(smaps_rollup, "Pss:")? })
}

/// `/proc/meminfo`: what the kernel has in slabs (sockets, inodes, epoll entries), in bytes, of the whole machine.
#[must_use]
pub fn slab(meminfo: &str) -> Option<u64> {
    kilobytes(meminfo, "Slab:")
}

/// `/proc/net/sockstat`: the pages in buffers of TCP sockets, of the whole machine.
#[must_use]
pub fn tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find(|line| line.starts_with("TCP:"))?;
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == "mem")?;
    words.next()?.parse().ok()
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_user_and_system_time() {
        let rest = "S 1 2 3 0 -1 4194304 90 91 92 93 1200 34 7 8 20 0 5 0 123 456 789";
        for name in ["phalanx", "a b", "a) S 1 (b"] {
            assert_eq!(cpu_ticks(&format!("4711 ({name}) {rest}")), Some(1_234), "{name}");
        }
        assert_eq!(cpu_ticks("4711 (phalanx) S 1 2"), None);
        assert_eq!(cpu_ticks(""), None);
    }

    #[test]
    fn memory_is_read_by_its_own_lines() {
        let text = "55-7f ---p 0 00:00 0 [rollup]\nRss:            2048 kB\nPss:            1024 kB\n\
            Pss_Dirty:       999 kB\nShared_Clean:    1 kB\n";
        assert_eq!(memory(text), Some(Memory { rss: 2 << 20, pss: 1 << 20 }));
        assert_eq!(memory("Rss: 1 kB\n"), None);
    }

    #[test]
    fn kernel_memory_is_read() {
        assert_eq!(slab("MemTotal: 9 kB\nSlab:              25 kB\nSReclaimable: 3 kB\n"), Some(25 * 1024));
        let sockstat = "sockets: used 9\nTCP: inuse 5 orphan 0 tw 2 alloc 8 mem 17\nUDP: inuse 0 mem 4\n";
        assert_eq!(tcp_pages(sockstat), Some(17));
        assert_eq!(tcp_pages("sockets: used 9\n"), None);
    }

    #[test]
    fn this_process_is_read() {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{file}")).expect("a file of Linux");
        assert!(cpu_ticks(&read("self/stat")).is_some());
        assert!(memory(&read("self/smaps_rollup")).is_some_and(|memory| memory.rss >= memory.pss));
        assert!(slab(&read("meminfo")).is_some_and(|bytes| bytes > 0));
        assert!(tcp_pages(&read("net/sockstat")).is_some());
    }
}
