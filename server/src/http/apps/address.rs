//! The host name of an app: `PORT--SERVER--ENVIRONMENT`, one DNS label, so that a single wildcard covers all.

use uuid::Uuid;

/// DNS labels are no longer (RFC 1035, section 2.3.4).
const LONGEST_LABEL: usize = 63;

/// Which app. Server and environment are names; or ids, where the names do not fit into a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppAddress {
    pub port: u16,
    pub server: String,
    pub environment: String,
}

impl AppAddress {
    /// The address of an app whose server and environment are called and identified so.
    pub fn new(port: u16, server: (&str, &str), environment: (&str, &str)) -> AppAddress {
        let by_name = AppAddress { port, server: server.0.into(), environment: environment.0.into() };
        // An environment's name with a double hyphen could not be told from the end of the server's.
        let fits = by_name.label().len() <= LONGEST_LABEL && !environment.0.contains("--");
        if fits { by_name } else { AppAddress { port, server: server.1.into(), environment: environment.1.into() } }
    }

    pub fn label(&self) -> String {
        format!("{}--{}--{}", self.port, packed(&self.server), packed(&self.environment))
    }

    /// Reads a label back; `None` when it is none of ours.
    pub fn from_label(label: &str) -> Option<AppAddress> {
        let (port, rest) = label.split_once("--")?;
        let (server, environment) = rest.rsplit_once("--")?;
        let port = port.parse().ok().filter(|port| *port > 0)?;
        Some(AppAddress { port, server: unpacked(server)?, environment: unpacked(environment)? })
    }
}

const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// An id as 26 characters of base32, the first of which is a digit (128 bits leave it three); a name, which begins with a
/// letter, as it is.
fn packed(name: &str) -> String {
    let Ok(id) = Uuid::try_parse(name) else { return name.to_string() };
    let bits = id.as_u128();
    (0..26).rev().map(|place| DIGITS[(bits >> (place * 5)) as usize & 31] as char).collect()
}

fn unpacked(part: &str) -> Option<String> {
    let name = !part.is_empty() && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if name && part.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Some(part.to_string());
    }
    if part.len() != 26 || !matches!(part.as_bytes()[0], b'0'..=b'7') {
        return None;
    }
    let digit = |byte: u8| DIGITS.iter().position(|digit| *digit == byte).map(|value| value as u128);
    let bits = part.bytes().try_fold(0u128, |bits, byte| Some(bits << 5 | digit(byte)?))?;
    Some(Uuid::from_u128(bits).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "019aa3a1-5a4b-7c3d-8e2f-0123456789ab";
    const ENVIRONMENT: &str = "ffffffff-5a4b-7c3d-8e2f-ba9876543210";

    #[test]
    fn an_app_is_called_by_names_people_know() {
        let app = AppAddress::new(8080, ("web-1", SERVER), ("my-shop", ENVIRONMENT));
        assert_eq!(app.label(), "8080--web-1--my-shop");
        assert_eq!(AppAddress::from_label(&app.label()), Some(app));
    }

    #[test]
    fn names_that_do_not_fit_into_a_label_give_way_to_ids() {
        for environment in ["a-name-of-forty-characters-in-all-x12345", "two--parts"] {
            let app = AppAddress::new(65535, ("a-server-with-a-long-name", SERVER), (environment, ENVIRONMENT));
            let label = app.label();
            assert_eq!(label.len(), 61);
            let read = AppAddress::from_label(&label).unwrap();
            assert_eq!((read.server.as_str(), read.environment.as_str()), (SERVER, ENVIRONMENT));
        }
    }

    #[test]
    fn what_is_no_label_of_ours_is_nothing() {
        let zs = "z".repeat(25);
        for odd in [
            "",
            "web",
            "80--web",
            "0--web--shop",
            "80--web--",
            "80----shop",
            "99999--a--b",
            "80--WEB--shop",
            "80--a.b--c",
        ] {
            assert_eq!(AppAddress::from_label(odd), None, "{odd}");
        }
        assert_eq!(AppAddress::from_label(&format!("80--web--1{zs}")), None);
        assert_eq!(AppAddress::from_label(&format!("80--web--9{}", "0".repeat(25))), None);
    }
}
