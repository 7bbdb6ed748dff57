//! Address of a request's client, seen through trusted proxies.

use std::net::IpAddr;

use actix_web::{HttpRequest, http::header::X_FORWARDED_FOR};
use ipnet::IpNet;

/// Address of the connection's other end. Where one listener takes both families, an IPv4 peer comes as
/// `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2), which no IPv4 network contains.
pub(super) fn peer(request: &HttpRequest) -> Option<IpAddr> {
    request.peer_addr().map(|peer| peer.ip().to_canonical())
}

/// Address of the client: the peer, or the last address in `X-Forwarded-For` that no trusted proxy has.
pub(super) fn client(request: &HttpRequest, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = peer(request)?;
    let forwarded = request.headers().get_all(X_FORWARDED_FOR).filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
    Some(last_untrusted(peer, &hops, trusted))
}

pub(super) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// Walks backwards from the peer while each hop is a trusted proxy. What is left of that, a client can forge.
fn last_untrusted(peer: IpAddr, hops: &[&str], trusted: &[IpNet]) -> IpAddr {
    let mut address = peer;
    for hop in hops.iter().rev() {
        match hop.parse::<IpAddr>() {
            Ok(next) if is_trusted(address, trusted) => address = next.to_canonical(),
            _ => break,
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_address_counts_only_as_far_as_proxies_are_trusted() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        for (peer, hops, expected) in [
            ("1.2.3.4", &["6.6.6.6"][..], "1.2.3.4"),
            ("10.0.0.1", &["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", &["6.6.6.6", "1.2.3.4", "10.0.0.2"], "1.2.3.4"),
            ("10.0.0.1", &["1.2.3.4", "::ffff:10.0.0.2"], "1.2.3.4"),
            ("10.0.0.1", &["junk"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            let client = last_untrusted(peer.parse().unwrap(), hops, &trusted).to_string();
            assert_eq!(client, expected, "{peer} {hops:?}");
        }
    }
}
