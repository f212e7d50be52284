//! Whose address a request counts for.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::HeaderMap;

/// The address that a client is limited by: a whole IPv4 address, or the /64 of an IPv6 address, all of which one
/// customer has.
pub(crate) fn client(peer: SocketAddr, headers: &HeaderMap, trust_forwarded_for: bool) -> IpAddr {
    let forwarded = trust_forwarded_for.then(|| last_forwarded(headers)).flatten();
    match forwarded.unwrap_or(peer.ip()).to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

/// What the nearest proxy added; everything before it the client may have made up.
fn last_forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?;
    last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trust: bool) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().expect("a value"));
        }
        client(peer.parse().expect("an address"), &headers, trust).to_string()
    }

    #[test]
    fn the_peer_counts_unless_a_proxy_is_trusted() {
        assert_eq!(seen("10.0.0.1:9", &["1.2.3.4"], false), "10.0.0.1");
        assert_eq!(seen("10.0.0.1:9", &["1.2.3.4"], true), "1.2.3.4");
        assert_eq!(seen("10.0.0.1:9", &[], true), "10.0.0.1");
        assert_eq!(seen("10.0.0.1:9", &["nonsense"], true), "10.0.0.1");
    }

    #[test]
    fn only_what_the_nearest_proxy_added_is_believed() {
        assert_eq!(seen("10.0.0.1:9", &["9.9.9.9, 1.2.3.4"], true), "1.2.3.4");
        assert_eq!(seen("10.0.0.1:9", &["9.9.9.9", "1.2.3.4"], true), "1.2.3.4");
    }

    #[test]
    fn one_ipv6_network_is_one_client() {
        assert_eq!(seen("[2001:db8:1:2:3:4:5:6]:9", &[], false), "2001:db8:1:2::");
        assert_eq!(seen("[::ffff:10.0.0.1]:9", &[], false), "10.0.0.1");
    }
}
