//! Ports that no other test of this machine uses.

use std::{fs::File, net::TcpListener, path::Path};

/// Below the range from which the system takes ports for outgoing connections, above those of the default profiles. Redis
/// Cluster adds 10,000 to a port for its own traffic, which must not leave this range's free space.
const FIRST: u16 = 12_000;
const LAST: u16 = 19_999;

/// A port that stays this process's own until it is dropped, with those around it that its server takes too: whoever takes one locks its file.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    _locks: Vec<File>,
}

impl Port {
    pub(crate) fn reserve() -> Self {
        Self::reserve_with(0, 0)
    }

    /// With so many below it, and so many above it.
    pub(crate) fn reserve_with(below: u16, above: u16) -> Self {
        let directory = std::env::temp_dir().join("phalanx-test-ports");
        std::fs::create_dir_all(&directory).expect("a directory for the locks of ports");
        // Where the search begins differs from process to process, so that few meet.
        let (first, last) = (FIRST + below, LAST - above);
        let span = u32::from(last - first) + 1;
        let begin = std::process::id().wrapping_mul(37) % span;
        (0..span)
            .filter_map(|step| u16::try_from((begin + step) % span).ok())
            .map(|offset| first + offset)
            .find_map(|number| {
                let ports = number - below..=number + above;
                let locks = ports.map(|port| take(port, &directory)).collect::<Option<_>>()?;
                Some(Self { number, _locks: locks })
            })
            .expect("a free port")
    }
}

fn take(number: u16, directory: &Path) -> Option<File> {
    let lock = File::create(directory.join(number.to_string())).ok()?;
    lock.try_lock().ok()?;
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (free(number) && free(number + 10_000)).then_some(lock)
}
