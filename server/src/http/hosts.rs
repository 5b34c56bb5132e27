//! Which host names the portal answers to, and which of them are apps.
//!
//! Guaranteed: a name nobody gave the portal is refused, so a page of another site whose name was rebound to this address
//! reaches nothing. IP addresses cannot be rebound; they are answered when the portal listens there.

use std::net::{IpAddr, SocketAddr};

use http::Uri;

use super::apps::AppAddress;

/// Scheme, host and port of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub https: bool,
    /// Lower case, an IPv6 address in brackets.
    pub host: String,
    pub port: u16,
}

impl Origin {
    /// # Errors
    /// In words, when the text is not `http(s)://HOST[:PORT]`.
    pub fn parse(text: &str) -> Result<Origin, String> {
        let wrong = || format!("`{text}` is not an address such as https://bookend.example.com");
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(format!("`{text}` has a path; the portal needs a host of its own"));
        }
        let (host, port) = split_host(authority.as_str()).ok_or_else(wrong)?;
        Ok(Origin { https, host, port: port.unwrap_or(if https { 443 } else { 80 }) })
    }

    fn default_port(&self) -> u16 {
        if self.https { 443 } else { 80 }
    }
}

/// As browsers write it: without a default port.
impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.host)?;
        if self.port != self.default_port() { write!(f, ":{}", self.port) } else { Ok(()) }
    }
}

/// What the portal is called.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// Where it listens; the real port.
    pub listen: SocketAddr,
    /// What people call it, when that is something else.
    pub public: Option<Origin>,
    /// The domain apps live below; `localhost` when none was configured.
    pub apps_domain: Option<String>,
}

/// What a request was meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// The portal itself, by this address.
    Portal(Origin),
    /// An app on a server.
    App(AppAddress),
}

impl Hosts {
    /// What a `Host` header means; `None` when it is not a name of ours.
    pub fn meant(&self, host_header: &str) -> Option<Meant> {
        let (host, port) = split_host(host_header)?;
        if let Some(public) = &self.public
            && host == public.host
            && port.unwrap_or(public.default_port()) == public.port
        {
            return Some(Meant::Portal(public.clone()));
        }
        if let Some(label) = host.strip_suffix(self.apps_domain()).and_then(|rest| rest.strip_suffix('.')) {
            return AppAddress::from_label(label).map(Meant::App);
        }
        let ours = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| self.listens_on(address)) || {
            let v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            v6.and_then(|v6| v6.parse::<IpAddr>().ok()).is_some_and(|address| self.listens_on(address))
        };
        ours.then(|| Meant::Portal(Origin { https: false, host, port: port.unwrap_or(80) }))
    }

    /// Where people find the portal who have no other address of it.
    pub fn portal(&self) -> Origin {
        self.public.clone().unwrap_or_else(|| {
            let host = match self.listen.ip() {
                address if address.is_unspecified() => "localhost".to_string(),
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            };
            Origin { https: false, host, port: self.listen.port() }
        })
    }

    /// Where this app is found, by somebody who found the portal at `portal`; `None` when nowhere: apps live below
    /// `localhost` and the portal was called from another machine.
    pub fn app(&self, app: &AppAddress, portal: &Origin) -> Option<Origin> {
        let on_this_machine = portal.host == "localhost"
            || portal.host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if self.apps_domain.is_none() && !on_this_machine {
            return None;
        }
        Some(Origin { host: format!("{}.{}", app.label(), self.apps_domain()), ..portal.clone() })
    }

    /// Whether people reach the portal by https only.
    pub fn secure(&self) -> bool {
        self.public.as_ref().is_some_and(|public| public.https)
    }

    fn apps_domain(&self) -> &str {
        self.apps_domain.as_deref().unwrap_or("localhost")
    }

    fn listens_on(&self, address: IpAddr) -> bool {
        let listening = self.listen.ip();
        listening == address || listening.is_unspecified() || (listening.is_loopback() && address.is_loopback())
    }
}

/// Host in lower case, without a trailing dot, and the port; `None` when it is neither a name nor an address.
fn split_host(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => (&authority[..colon], Some(&authority[colon + 1..])),
        _ => (authority, None),
    };
    let port = match port {
        Some(digits) => Some(digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?),
        None => None,
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let v6 = host.starts_with('[') && host.ends_with(']');
    let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    (!host.is_empty() && (v6 || plain)).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(listen: &str) -> Hosts {
        Hosts { listen: listen.parse().unwrap(), public: None, apps_domain: None }
    }

    fn is_portal(hosts: &Hosts, host: &str) -> bool {
        matches!(hosts.meant(host), Some(Meant::Portal(_)))
    }

    #[test]
    fn a_rebound_name_is_not_ours_and_loopback_is_by_every_name() {
        let hosts = hosts("127.0.0.1:3000");
        for ours in ["127.0.0.1:3000", "localhost:3000", "LOCALHOST:3000", "localhost.:3000", "[::1]:3000", "localhost"]
        {
            assert!(is_portal(&hosts, ours), "{ours}");
        }
        for foreign in [
            "evil.example",
            "127.0.0.1.evil.example:3000",
            "localhost.evil.example",
            "evil-localhost",
            "192.0.2.7:3000",
            "user@localhost",
            "localhost:+3000",
            "localhost:99999",
            "",
            ":3000",
            "local host",
        ] {
            assert_eq!(hosts.meant(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn listening_everywhere_answers_to_addresses_but_to_no_unknown_name() {
        let hosts = hosts("0.0.0.0:3000");
        assert!(is_portal(&hosts, "192.0.2.7:3000"));
        assert_eq!(hosts.meant("box.lan:3000"), None);
    }

    #[test]
    fn the_public_address_counts_with_its_port_and_scheme() {
        let public = Origin::parse("https://Bookend.example.com/").unwrap();
        assert_eq!(public.to_string(), "https://bookend.example.com");
        let hosts = Hosts { public: Some(public.clone()), ..hosts("127.0.0.1:3000") };
        assert_eq!(hosts.meant("bookend.example.com"), Some(Meant::Portal(public)));
        assert_eq!(hosts.meant("bookend.example.com:444"), None);
        assert_eq!(hosts.meant("bookend.example.com.evil.example"), None);
        assert!(Origin::parse("https://a.example/bookend").unwrap_err().contains("path"));
        for wrong in ["bookend.example.com", "ftp://a", "https://user@a.example", "https://"] {
            assert!(Origin::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_app_has_a_host_of_its_own_beside_the_portals() {
        let hosts = hosts("127.0.0.1:3000");
        let Some(Meant::App(app)) = hosts.meant("8080--web--shop.localhost:3000") else { panic!("an app") };
        let portal = Origin::parse("http://127.0.0.1:3000").unwrap();
        assert_eq!(hosts.app(&app, &portal).unwrap().to_string(), "http://8080--web--shop.localhost:3000");
        assert_eq!(hosts.app(&app, &Origin::parse("http://192.0.2.7:3000").unwrap()), None);
        assert_eq!(hosts.meant("x.8080--web--shop.localhost:3000"), None);
        assert_eq!(hosts.meant("web.localhost:3000"), None);
    }
}
