//! The address by which another region sees that we may read a snapshot there. Amazon asks for one with each copy of what is
//! encrypted (CopySnapshot in the EC2 API reference); its other clients make it by themselves, the one for Rust does not.

use std::time::{Duration, UNIX_EPOCH};

use aws_sdk_ec2::config::{Credentials, ProvideCredentials};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use http::{Request, Uri};

use super::{Amazon, CallError, Called};

const CALL: &str = "CopySnapshot";
/// For the copy to begin.
const GOOD_FOR: Duration = Duration::from_secs(3600);

impl Amazon {
    /// `now` is Unix milliseconds.
    pub(super) async fn may_read(&self, region: &str, snapshot: &str, now: i64) -> Called<String> {
        let not_asked = |message: String| CallError::Refused { call: CALL, code: "InvalidRequest".to_owned(), message };
        let to = self.region().ok_or_else(|| not_asked("no region is configured".to_owned()))?;
        let provider =
            self.credentials.as_ref().ok_or_else(|| not_asked("there are no credentials to sign with".into()))?;
        // They are fetched anew at times, and that may fail for a while: nothing was asked for.
        let credentials = provider.provide_credentials().await.map_err(|_| CallError::Throttled(CALL))?;
        presigned(credentials, region, snapshot, to, now).map_err(not_asked)
    }
}

fn presigned(credentials: Credentials, from: &str, snapshot: &str, to: &str, now: i64) -> Result<String, String> {
    let domain = if from.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let query = format!(
        "Action={CALL}&DestinationRegion={to}&SourceRegion={from}&SourceSnapshotId={snapshot}&Version=2016-11-15"
    );
    let uri: Uri = format!("https://ec2.{from}.{domain}/?{query}").parse().map_err(said)?;
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(GOOD_FOR);
    let identity = credentials.into();
    let at = UNIX_EPOCH + Duration::from_millis(u64::try_from(now).unwrap_or(0));
    let how = SigningParams::builder().identity(&identity).region(from).name("ec2").time(at).settings(settings);
    let how = how.build().map_err(said)?.into();
    let mut request = Request::get(uri).body(()).map_err(said)?;
    let text = request.uri().to_string();
    let signable = SignableRequest::new("GET", text, std::iter::empty(), SignableBody::Bytes(&[])).map_err(said)?;
    let (instructions, _) = sign(signable, &how).map_err(said)?.into_parts();
    instructions.apply_to_request_http1x(&mut request);
    Ok(request.uri().to_string())
}

fn said(error: impl std::fmt::Display) -> String {
    format!("the request could not be signed: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_what_may_be_read_and_is_signed_for_the_region_that_has_it() {
        let credentials =
            Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, None, "test");
        let url = presigned(credentials, "eu-central-1", "snap-1", "eu-west-1", 1_440_938_160_000).unwrap();
        let (address, query) = url.split_once('?').unwrap();
        assert_eq!(address, "https://ec2.eu-central-1.amazonaws.com/");
        for part in [
            "Action=CopySnapshot",
            "SourceRegion=eu-central-1",
            "SourceSnapshotId=snap-1",
            "DestinationRegion=eu-west-1",
            "X-Amz-Algorithm=AWS4-HMAC-SHA256",
            "X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Feu-central-1%2Fec2%2Faws4_request",
            "X-Amz-Date=20150830T123600Z",
            "X-Amz-Expires=3600",
        ] {
            assert!(query.split('&').any(|found| found == part), "{part}: {query}");
        }
        let signature = query.split('&').find_map(|part| part.strip_prefix("X-Amz-Signature=")).unwrap();
        // As computed by hand from the description of Signature Version 4.
        assert_eq!(signature, "a624935d68450a5a59a78547ed7ee1b24e316aabda7d053e04f0df61b38bb472");
    }
}
