//! Where a portal is and which way leads there: its address, and the proxy that the environment names. Pure.

use std::net::{IpAddr, Ipv4Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Uri;

/// Host and port of something to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// A portal, as its address says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) tls: bool,
    pub(super) place: Place,
}

/// An HTTP proxy that connects for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proxy {
    pub(super) place: Place,
    /// What `Proxy-Authorization` is to say.
    pub(super) authorization: Option<String>,
}

impl Place {
    /// As it stands in a URL or a `Host` header.
    pub(super) fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl Target {
    /// # Errors
    /// In words, when it is not `http(s)://HOST[:PORT]`.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let wrong = || format!("{url:?} is not a portal's address, such as https://bookend.example.com");
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        if !matches!(uri.path(), "" | "/")
            || uri.query().is_some()
            || uri.authority().is_none_or(|authority| authority.as_str().contains('@'))
        {
            return Err(wrong());
        }
        let place = place(&uri, if tls { 443 } else { 80 }).ok_or_else(wrong)?;
        Ok(Self { tls, place })
    }

    /// The way there, by the variables that curl and others heed: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, in capitals or not.
    ///
    /// # Errors
    /// In words, when a proxy is named that cannot be used.
    pub(super) fn proxy(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Proxy>, String> {
        let either = |name: &str| {
            let given = variable(name).or_else(|| variable(&name.to_ascii_lowercase()));
            given.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let name = if self.tls { "HTTPS_PROXY" } else { "HTTP_PROXY" };
        let Some(given) = either(name) else { return Ok(None) };
        if either("NO_PROXY").is_some_and(|exempt| exempt.split(',').any(|one| self.place.is_exempt(one.trim()))) {
            return Ok(None);
        }
        // The value may hold a password, so it is not repeated.
        let wrong = || format!("{name} is not an address such as http://proxy.example.com:3128");
        let whole = if given.contains("://") { given } else { format!("http://{given}") };
        let uri: Uri = whole.parse().map_err(|_| wrong())?;
        if uri.scheme_str() != Some("http") {
            return Err(format!(
                "{name} names a proxy that is not spoken to by plain http, which is all there is here"
            ));
        }
        let person =
            uri.authority().and_then(|authority| authority.as_str().rsplit_once('@')).map(|(person, _)| person);
        let authorization = person.map(|person| format!("Basic {}", STANDARD.encode(percent_decoded(person))));
        Ok(Some(Proxy { place: place(&uri, 80).ok_or_else(wrong)?, authorization }))
    }
}

impl Place {
    /// Whether one entry of `NO_PROXY` means this place.
    fn is_exempt(&self, entry: &str) -> bool {
        if entry == "*" {
            return true;
        }
        if let (Some((network, bits)), Ok(IpAddr::V4(own))) = (entry.split_once('/'), self.host.parse()) {
            let network: Option<Ipv4Addr> = network.parse().ok();
            let bits: Option<u32> = bits.parse().ok().filter(|bits| *bits <= 32);
            return network.zip(bits).is_some_and(|(network, bits)| {
                let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                network.to_bits() & mask == own.to_bits() & mask
            });
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse::<u16>().ok()),
            _ => (entry, None),
        };
        let host = host.trim_matches(['[', ']', '.']).to_ascii_lowercase();
        let own = self.host.to_ascii_lowercase();
        let named = own == host || own.strip_suffix(&host).is_some_and(|before| before.ends_with('.'));
        !host.is_empty() && named && port.is_none_or(|port| port == self.port)
    }
}

fn place(uri: &Uri, default_port: u16) -> Option<Place> {
    let host = uri.host()?.trim_matches(['[', ']']);
    (!host.is_empty()).then(|| Place { host: host.to_owned(), port: uri.port_u16().unwrap_or(default_port) })
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::parse(url).unwrap()
    }

    fn way(url: &str, variables: &[(&str, &str)]) -> Option<String> {
        let variable =
            |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
        let proxy = target(url).proxy(variable).unwrap()?;
        let authorization = proxy.authorization.map(|words| format!(" {words}")).unwrap_or_default();
        Some(format!("{}{authorization}", proxy.place.authority()))
    }

    #[test]
    fn a_portals_address_is_a_host_and_perhaps_a_port() {
        let https = target("https://bookend.example.com");
        assert_eq!((https.tls, https.place.authority().as_str()), (true, "bookend.example.com:443"));
        let plain = target("http://[::1]:3000/");
        assert_eq!((plain.tls, plain.place.authority().as_str()), (false, "[::1]:3000"));
        for wrong in ["bookend.example.com", "ftp://a", "https://a/b", "https://me@a", "https://a/?b", ""] {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_way_leads_through_the_proxy_that_is_named_for_it_and_past_it_where_that_is_said() {
        let far = "https://bookend.example.com";
        assert_eq!(way(far, &[]), None);
        assert_eq!(way(far, &[("HTTP_PROXY", "http://p:3128")]), None);
        assert_eq!(way(far, &[("https_proxy", "p:3128")]).as_deref(), Some("p:3128"));
        let named = ("HTTPS_PROXY", "http://ann:p%40ss@p:3128/");
        assert_eq!(way(far, &[named]).as_deref(), Some("p:3128 Basic YW5uOnBAc3M="));
        for exempt in ["*", "example.com", ".example.com", "x, bookend.example.com:443", "BOOKEND.example.com"] {
            assert_eq!(way(far, &[named, ("NO_PROXY", exempt)]), None, "{exempt}");
        }
        for other in ["ample.com", "example.org", "bookend.example.com:8443", "", "10.0.0.0/8"] {
            assert!(way(far, &[named, ("no_proxy", other)]).is_some(), "{other}");
        }
        assert_eq!(way("https://10.1.2.3", &[named, ("NO_PROXY", "192.168.0.0/16,10.0.0.0/8")]), None);
        assert!(way("https://10.1.2.3", &[named, ("NO_PROXY", "10.1.2.4/32")]).is_some());
    }
}
