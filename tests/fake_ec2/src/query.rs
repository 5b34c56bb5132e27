//! Reading requests: the form that an EC2 call is, and who signed it.
//!
//! Names are nested by dots and lists are numbered from 1: `TagSpecification.1.Tag.2.Key`. Signatures (SigV4) are read for
//! their access key and region and not verified: a client that signs wrongly is found out by Amazon and by nobody here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::problem::Problem;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub caller: Option<Caller>,
    pub parameters: BTreeMap<String, String>,
}

/// What the signature says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub access_key: String,
    pub region: String,
    pub service: String,
    pub session_token: Option<String>,
}

impl Request {
    /// A form as it comes by POST, or in the address by GET; or AWS JSON, of which the header names the action.
    pub fn read(headers: &http::HeaderMap, query: Option<&str>, body: &[u8]) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let parameters = match text("x-amz-target") {
            Some(target) => of_json(target, body),
            None => {
                let form = if body.is_empty() { query.unwrap_or_default().as_bytes() } else { body };
                form_urlencoded::parse(form).into_owned().collect()
            }
        };
        let session_token = text("x-amz-security-token").map(str::to_owned);
        let caller = text("authorization").and_then(|header| Caller::of_header(header, session_token));
        Self { caller, parameters }
    }

    pub fn action(&self) -> &str {
        self.parameters.get("Action").map_or("", String::as_str)
    }

    pub fn asked(&self) -> Asked<'_> {
        Asked { parameters: &self.parameters, prefix: String::new() }
    }

    /// Whether a call that changes something asked only whether it would be allowed.
    pub fn is_dry_run(&self) -> bool {
        self.parameters.get("DryRun").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// `ServiceQuotasV20190624.GetServiceQuota`, and text by its name.
fn of_json(target: &str, body: &[u8]) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = serde_json::from_slice(body).unwrap_or_default();
    let action = target.rsplit('.').next().unwrap_or_default();
    parameters.insert("Action".to_owned(), action.to_owned());
    parameters
}

impl Caller {
    /// `AWS4-HMAC-SHA256 Credential=KEY/20260101/REGION/ec2/aws4_request, SignedHeaders=…, Signature=…`
    fn of_header(header: &str, session_token: Option<String>) -> Option<Self> {
        let credential = header.split_once("Credential=")?.1;
        let mut parts = credential.split([',', ' ']).next()?.split('/');
        let (access_key, _day) = (parts.next()?, parts.next()?);
        let (region, service) = (parts.next()?, parts.next()?);
        let own = |text: &str| text.to_owned();
        Some(Self { access_key: own(access_key), region: own(region), service: own(service), session_token })
    }
}

/// The parameters of a call, or those below one of its names.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    parameters: &'a BTreeMap<String, String>,
    prefix: String,
}

impl<'a> Asked<'a> {
    pub fn text(&self, name: &str) -> Option<&'a str> {
        let value = match self.prefix.is_empty() {
            true => self.parameters.get(name),
            false => self.parameters.get(&format!("{}{name}", self.prefix)),
        };
        value.map(String::as_str)
    }

    /// Present and not empty.
    pub fn required(&self, name: &str) -> Result<&'a str, Problem> {
        self.text(name).filter(|value| !value.is_empty()).ok_or_else(|| Problem::missing(name))
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.text(name) {
            None => Ok(None),
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(value) if value.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(value) => Err(Problem::value(name, value, "It must be true or false.")),
        }
    }

    pub fn number(&self, name: &str) -> Result<Option<i64>, Problem> {
        let parse = |value: &str| value.parse().map_err(|_| Problem::value(name, value, "It must be a whole number."));
        self.text(name).map(parse).transpose()
    }

    /// `Name.1`, `Name.2`, … in the order of their numbers.
    pub fn list(&self, name: &str) -> Vec<&'a str> {
        let prefix = format!("{}{name}.", self.prefix);
        let mut found: Vec<(u32, &str)> =
            self.below(&prefix).filter_map(|(rest, value)| Some((rest.parse().ok()?, value))).collect();
        found.sort_unstable_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, value)| value).collect()
    }

    /// The members of a list of structures: `Name.1.…`, `Name.2.…`.
    pub fn items(&self, name: &str) -> Vec<Asked<'a>> {
        let prefix = format!("{}{name}.", self.prefix);
        let numbers: BTreeSet<u32> =
            self.below(&prefix).filter_map(|(rest, _)| rest.split('.').next()?.parse().ok()).collect();
        let item = |number| Asked { parameters: self.parameters, prefix: format!("{prefix}{number}.") };
        numbers.into_iter().map(item).collect()
    }

    /// The members of a structure.
    pub fn within(&self, name: &str) -> Asked<'a> {
        Asked { parameters: self.parameters, prefix: format!("{}{name}.", self.prefix) }
    }

    pub fn is_empty(&self) -> bool {
        self.below(&self.prefix).next().is_none()
    }

    fn below<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = (&'a str, &'a str)> + 's {
        self.parameters
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .map_while(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_the_order_of_their_numbers() {
        let form = b"Action=X&InstanceId.10=ten&InstanceId.2=two&InstanceIdle=no&Filter.1.Name=tag%3AName\
                     &Filter.1.Value.1=a+b&Filter.1.Value.2=c";
        let request = Request::read(&http::HeaderMap::new(), None, form);
        let asked = request.asked();
        assert_eq!(asked.list("InstanceId"), ["two", "ten"]);
        let filters = asked.items("Filter");
        assert_eq!(filters.len(), 1);
        assert_eq!(filters[0].text("Name"), Some("tag:Name"));
        assert_eq!(filters[0].list("Value"), ["a b", "c"]);
        assert!(asked.within("MetadataOptions").is_empty());
    }

    #[test]
    fn the_signature_tells_account_and_region() {
        let header = "AWS4-HMAC-SHA256 Credential=AKIA1/20260101/eu-west-1/ec2/aws4_request, SignedHeaders=host";
        let caller = Caller::of_header(header, None).expect("a caller");
        assert_eq!((caller.access_key.as_str(), caller.region.as_str()), ("AKIA1", "eu-west-1"));
    }
}
