//! Addresses of a name, by `/etc/hosts` and the name servers of `/etc/resolv.conf`.
//!
//! The C library's resolver loads parts of itself at run time, which a statically linked program cannot rely on: what it finds
//! was made for the library of the machine. What it is asked here, one host's addresses, is asked directly. Deliberately
//! absent: other sources that `/etc/nsswitch.conf` may name; systemd's resolver answers as a name server, too.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

const PATIENCE: Duration = Duration::from_secs(3);
const ROUNDS: usize = 2;
const PORT: u16 = 53;
/// Types of records (RFC 1035, RFC 3596).
const A: u16 = 1;
const AAAA: u16 = 28;
/// Without extensions an answer is no larger (RFC 1035).
const LARGEST_ANSWER: usize = 512;

/// At least one address, version 4 first.
///
/// # Errors
/// In words, which name is not known to whom.
pub(super) async fn addresses(host: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut found = in_hosts(&read("/etc/hosts"), &name);
    if found.is_empty() {
        found = ask(&name, host.ends_with('.'), &Settings::read(&read("/etc/resolv.conf"))).await?;
    }
    found.sort_by_key(IpAddr::is_ipv6);
    Ok(found)
}

fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let named = |line: &str| {
        let mut words = line.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    };
    lines.filter_map(named).collect()
}

/// What `/etc/resolv.conf` says.
#[derive(Debug, PartialEq, Eq)]
struct Settings {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
}

impl Settings {
    fn read(text: &str) -> Self {
        let mut settings = Self { servers: Vec::new(), search: Vec::new() };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    settings.servers.extend(server.map(|address| SocketAddr::new(address, PORT)));
                }
                Some("search" | "domain") => settings.search = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        if settings.servers.is_empty() {
            settings.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
        }
        settings
    }

    /// The names that a name may stand for, in their order.
    fn candidates(&self, name: &str, complete: bool) -> Vec<String> {
        let searched = self.search.iter().map(|domain| format!("{name}.{}", domain.trim_matches('.')));
        match (complete, name.contains('.')) {
            (true, _) => vec![name.to_owned()],
            (false, true) => [name.to_owned()].into_iter().chain(searched).collect(),
            (false, false) => searched.chain([name.to_owned()]).collect(),
        }
    }
}

async fn ask(name: &str, complete: bool, settings: &Settings) -> io::Result<Vec<IpAddr>> {
    let mut trouble = None;
    for candidate in settings.candidates(name, complete) {
        'rounds: for _ in 0..ROUNDS {
            for server in &settings.servers {
                let (four, six) = tokio::join!(query(*server, &candidate, A), query(*server, &candidate, AAAA));
                match (four, six) {
                    (Ok(four), Ok(six)) if four.is_empty() && six.is_empty() => break 'rounds,
                    (Err(error), Err(_)) => trouble = Some((*server, error)),
                    (four, six) => {
                        let found: Vec<IpAddr> = four.into_iter().chain(six).flatten().collect();
                        if !found.is_empty() {
                            return Ok(found);
                        }
                    }
                }
            }
        }
    }
    Err(match trouble {
        Some((server, error)) => io::Error::new(
            error.kind(),
            format!("the name server {} does not say where {name} is: {error}", server.ip()),
        ),
        None => io::Error::new(io::ErrorKind::NotFound, format!("nobody by the name of {name} is known")),
    })
}

/// No answer at all is an error; that there is no such name is an empty answer.
async fn query(server: SocketAddr, name: &str, kind: u16) -> io::Result<Vec<IpAddr>> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    let question = question(id, name, kind)?;
    let own: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(server).await?;
    socket.send(&question).await?;
    let mut answer = [0; LARGEST_ANSWER];
    let heard = async {
        loop {
            let length = socket.recv(&mut answer).await?;
            // Anything else was not meant for this question.
            if answer[..length].starts_with(&id) {
                return Ok::<usize, io::Error>(length);
            }
        }
    };
    let length =
        tokio::time::timeout(PATIENCE, heard).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    found(&answer[..length], kind)
}

fn question(id: [u8; 2], name: &str, kind: u16) -> io::Result<Vec<u8>> {
    let mut message = Vec::from(id);
    // One question, please recurse.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length));
        let length =
            length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no name")))?;
        message.push(length);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    Ok(message)
}

/// The addresses in an answer, wherever a chain of other names led.
fn found(answer: &[u8], kind: u16) -> io::Result<Vec<IpAddr>> {
    let odd = || io::Error::new(io::ErrorKind::InvalidData, "its answer is not understood");
    let number = |at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    let code = answer.get(3).ok_or_else(odd)? & 0x0f;
    match code {
        0 => {}
        // There is no such name.
        3 => return Ok(Vec::new()),
        other => return Err(io::Error::other(format!("it answers with code {other}"))),
    }
    let (questions, records) = (number(4).ok_or_else(odd)?, number(6).ok_or_else(odd)?);
    let mut at = 12;
    for _ in 0..questions {
        at = after_name(answer, at).ok_or_else(odd)? + 4;
    }
    let mut addresses = Vec::new();
    for _ in 0..records {
        at = after_name(answer, at).ok_or_else(odd)?;
        let (is, length) = (number(at).ok_or_else(odd)?, usize::from(number(at + 8).ok_or_else(odd)?));
        let content = answer.get(at + 10..at + 10 + length).ok_or_else(odd)?;
        at += 10 + length;
        if is == kind {
            let four = <[u8; 4]>::try_from(content).map(IpAddr::from);
            addresses.extend(four.or_else(|_| <[u8; 16]>::try_from(content).map(IpAddr::from)));
        }
    }
    Ok(addresses)
}

/// Where the name that begins here ends.
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            // The rest was said before.
            pointer if pointer & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += usize::from(length) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_machines_own_file_is_found_there() {
        let hosts = "127.0.0.1 localhost\n10.0.0.4 db Portal.internal # portal.internal2\nfd00::4 portal.internal\n";
        let found: Vec<String> = in_hosts(hosts, "portal.internal").iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.4", "fd00::4"]);
        assert!(in_hosts(hosts, "portal.internal2").is_empty());
    }

    #[test]
    fn names_are_searched_for_as_the_machine_says() {
        let settings = Settings::read("# x\nnameserver 10.0.0.2\nsearch eu.internal internal.\nnameserver ::1\n");
        assert_eq!(settings.servers, ["10.0.0.2:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!(settings.candidates("portal", false), ["portal.eu.internal", "portal.internal", "portal"]);
        assert_eq!(settings.candidates("a.b", false), ["a.b", "a.b.eu.internal", "a.b.internal"]);
        assert_eq!(settings.candidates("a.b", true), ["a.b"]);
        assert_eq!(Settings::read("").servers, ["127.0.0.1:53".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_name_server_is_asked_and_its_answer_is_followed_through_other_names() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        tokio::spawn(async move {
            let mut heard = [0; 512];
            loop {
                let (length, from) = server.recv_from(&mut heard).await.unwrap();
                let question = &heard[..length];
                let asked = question[length - 3];
                let mut answer = Vec::from(&question[..2]);
                // Another answer first, to somebody else's question.
                server.send_to(&[!answer[0], answer[1], 0x81, 0x80], from).await.unwrap();
                answer.extend([0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0]);
                answer.extend(&question[12..]);
                answer.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, b'x', 0xc0, 12]);
                answer.extend([0xc0, 12, 0, asked, 0, 1, 0, 0, 0, 9]);
                match u16::from(asked) {
                    A => answer.extend([0, 4, 10, 0, 0, 7]),
                    _ => answer.extend([0, 16].into_iter().chain([0xfd; 16])),
                }
                server.send_to(&answer, from).await.unwrap();
            }
        });
        let settings = Settings { servers: vec![address], search: Vec::new() };
        let found = ask("portal.example.com", false, &settings).await.unwrap();
        assert_eq!(found[0], IpAddr::from([10, 0, 0, 7]));
        assert_eq!(found[1], IpAddr::from([0xfd; 16]));
    }

    #[test]
    fn an_answer_that_is_cut_or_lies_about_its_lengths_is_an_error() {
        let mut answer = vec![1, 2, 0x81, 0x80, 0, 0, 0, 1, 0, 0, 0, 0];
        answer.extend([0, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 7]);
        assert_eq!(found(&answer, A).unwrap(), [IpAddr::from([10, 0, 0, 7])]);
        for length in 0..answer.len() {
            assert!(found(&answer[..length], A).is_err(), "{length}");
        }
        answer[3] = 0x83;
        assert!(found(&answer, A).unwrap().is_empty());
        answer[3] = 0x82;
        assert!(found(&answer, A).is_err());
    }
}
