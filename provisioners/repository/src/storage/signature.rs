//! AWS Signature Version 4, as much of it as a bucket needs.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>; the tests are the examples there.

use std::fmt::Write;

use hmac::{Hmac, Mac};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::Url;
use sha2::{Digest, Sha256};

use crate::keys::hexadecimal;
use crate::secret::Secret;

const SIGNED: &str = "host;x-amz-content-sha256;x-amz-date";

#[derive(Debug)]
pub(super) struct Signer {
    pub(super) region: String,
    pub(super) access_key: String,
    pub(super) secret_key: Secret,
}

impl Signer {
    /// What a request must carry. `url` is encoded already, its query sorted by name.
    pub(super) fn headers(
        &self,
        method: &str,
        url: &Url,
        body_hash: &str,
        now: Timestamp,
    ) -> [(&'static str, String); 3] {
        let now = now.to_zoned(TimeZone::UTC);
        let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let scope = format!("{}/{}/s3/aws4_request", now.strftime("%Y%m%d"), self.region);
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let request = format!(
            "{method}\n{}\n{}\nhost:{host}\nx-amz-content-sha256:{body_hash}\nx-amz-date:{time}\n\n{SIGNED}\n{body_hash}",
            url.path(),
            url.query().unwrap_or_default(),
        );
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hexadecimal(&Sha256::digest(request)));
        let secret = format!("AWS4{}", self.secret_key.reveal());
        let key = scope.split('/').fold(secret.into_bytes(), |key, part| authenticated(&key, part));
        let signature = hexadecimal(&authenticated(&key, &to_sign));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={SIGNED},Signature={signature}",
            self.access_key
        );
        [("x-amz-content-sha256", body_hash.to_owned()), ("x-amz-date", time), ("authorization", authorization)]
    }
}

fn authenticated(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// As S3 wants paths and values encoded: everything but letters, digits and `-._~`.
pub(super) fn encoded(text: &str, keep_slashes: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            b'/' if keep_slashes => encoded.push('/'),
            _ => {
                // Writing to a string does not fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_published_example() {
        let signer = Signer {
            region: "us-east-1".into(),
            access_key: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_key: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        };
        let url = Url::parse("https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J").expect("an address");
        let nothing = hexadecimal(&Sha256::digest(""));
        let now = "2013-05-24T00:00:00Z".parse().expect("a time");
        let [_, (_, time), (_, authorization)] = signer.headers("GET", &url, &nothing, now);
        assert_eq!(time, "20130524T000000Z");
        assert_eq!(
            authorization,
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;x-amz-content-sha256;x-amz-date,\
             Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
        assert!(!format!("{signer:?}").contains("wJalr"));
    }

    #[test]
    fn what_is_no_letter_or_digit_is_encoded() {
        assert_eq!(encoded("a b/ü+~", true), "a%20b/%C3%BC%2B~");
        assert_eq!(encoded("a/b", false), "a%2Fb");
    }
}
