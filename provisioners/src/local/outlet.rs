//! The way out to the internet for servers that may have one: `pasta` or `slirp4netns`, which carry a server's connections
//! by ordinary sockets of the machine. Either is told to let nothing in.
//!
//! A server with a way out still cannot reach the machine, its neighbours in the local network or a cloud's metadata
//! service: networks that are nobody's on the internet are closed off by routes the server cannot change.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use holder::Outlet;

/// The name server a server with a way out asks.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 3);

/// Networks of RFC 6890 that are not the internet. The outlet's own, `198.18.0.0/15`, is not among them.
const NOT_THE_INTERNET: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// The outlet this machine offers, if any.
pub fn find(search: impl Fn(&str) -> Option<PathBuf>) -> Option<Outlet> {
    let found = |name: &str, words: &[&str]| {
        let program = search(name)?.to_string_lossy().into_owned();
        Some(std::iter::once(program).chain(words.iter().map(|word| (*word).to_owned())).collect())
    };
    let command = found("pasta", PASTA).or_else(|| found("slirp4netns", SLIRP4NETNS))?;
    Some(Outlet { command, unreachable: NOT_THE_INTERNET.to_vec() })
}

const PASTA: &[&str] = &[
    "--foreground",
    "--quiet",
    "--ipv4-only",
    "--netns-only",
    "--config-net",
    "--no-map-gw",
    "--tcp-ports",
    "none",
    "--udp-ports",
    "none",
    "--tcp-ns",
    "none",
    "--udp-ns",
    "none",
    "--ns-ifname",
    "out0",
    "--address",
    "198.18.0.2",
    "--netmask",
    "24",
    "--gateway",
    "198.18.0.1",
    "--dns-forward",
    "198.18.0.3",
    "--netns",
    "{netns}",
];

const SLIRP4NETNS: &[&str] = &[
    "--configure",
    "--disable-host-loopback",
    "--cidr",
    "198.18.0.0/24",
    "--mtu",
    "65520",
    "--netns-type",
    "path",
    "{netns}",
    "out0",
];
