//! A make-believe Amazon beside a portal: where it listens, and what the portal's file with provisioners says of it.

use fake_ec2::Fake;
use tokio::net::TcpListener;

use crate::Outcome;

/// Of the make-believe Amazon's first account.
pub const KEYS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "AKIAFAKEOURS"), ("AWS_SECRET_ACCESS_KEY", "is-not-looked-at")];

/// Answers as long as the story goes on; the address.
pub async fn listen(fake: &Fake) -> Outcome<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    tokio::spawn(fake_ec2::serve(fake.clone(), listener));
    Ok(endpoint)
}

/// The least that a table of the file says. What is put after it belongs to it.
pub fn table(name: &str, region: &str, endpoint: &str) -> String {
    format!(
        r#"
[ec2.{name}]
region = "{region}"
endpoint = "{endpoint}"
portal_url = "http://172.31.0.1:1"
images.host = {{ owner = "amazon", name = "al2023-ami-2023.*-x86_64" }}
sizes = [{{ types = ["t3.small"] }}]
"#
    )
}
