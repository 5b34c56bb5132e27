//! A client of a few lines: sends forms, reads elements out of answers. It knows nothing of what the answers should be.

use bytes::Bytes;
use fake_ec2::{Fake, Lost, Rules};

#[derive(Clone)]
pub struct Client {
    pub fake: Fake,
    key: String,
    token: Option<String>,
    region: String,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub body: String,
}

impl Client {
    pub fn of(rules: Rules) -> Self {
        Self::with(Fake::new(rules))
    }

    pub fn with(fake: Fake) -> Self {
        Self { fake, key: "AKIAFAKEOURS".to_owned(), token: None, region: "eu-central-1".to_owned() }
    }

    pub fn calm() -> Self {
        Self::of(Rules::calm())
    }

    pub fn key(&self, key: &str, token: Option<&str>) -> Self {
        Self { key: key.to_owned(), token: token.map(str::to_owned), ..self.clone() }
    }

    pub fn region(&self, region: &str) -> Self {
        Self { region: region.to_owned(), ..self.clone() }
    }

    /// `form`: as in an address, `InstanceId.1=i-1&DryRun=true`.
    pub async fn try_call(&self, action: &str, form: &str) -> Result<Reply, Lost> {
        let credential = format!("{}/20260101/{}/ec2/aws4_request", self.key, self.region);
        let mut request = http::Request::post("http://ec2/")
            .header("authorization", format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host"));
        if let Some(token) = &self.token {
            request = request.header("x-amz-security-token", token);
        }
        let body = format!("Action={action}&Version=2016-11-15&{form}");
        let request = request.body(Bytes::from(body)).expect("a request");
        let response = self.fake.answer(request).await?;
        let body = String::from_utf8(response.body().to_vec()).expect("text");
        Ok(Reply { status: response.status().as_u16(), body })
    }

    pub async fn call(&self, action: &str, form: &str) -> Reply {
        self.try_call(action, form).await.expect("an answer")
    }

    /// Must succeed.
    pub async fn does(&self, action: &str, form: &str) -> Reply {
        let reply = self.call(action, form).await;
        assert_eq!(reply.status, 200, "{action} {form}: {}", reply.body);
        reply
    }

    /// Must be refused; returns the code.
    pub async fn refused(&self, action: &str, form: &str) -> String {
        let reply = self.call(action, form).await;
        assert_ne!(reply.status, 200, "{action} {form}: {}", reply.body);
        reply.one("Code")
    }

    /// The newest Debian for x86_64.
    pub async fn image(&self, architecture: &str) -> String {
        let form = format!("Owner.1=136693071363&Filter.1.Name=architecture&Filter.1.Value.1={architecture}");
        let mut images = self.does("DescribeImages", &form).await.items("imagesSet");
        images.sort_by_key(|image| one(image, "creationDate"));
        one(images.last().expect("an image"), "imageId")
    }

    /// Launches a t3.micro and returns its id.
    pub async fn launch(&self, more: &str) -> String {
        let image = self.image("x86_64").await;
        let form = format!("ImageId={image}&InstanceType=t3.micro&MinCount=1&MaxCount=1&{more}");
        self.does("RunInstances", &form).await.one("instanceId")
    }

    pub async fn state_of(&self, instance: &str) -> String {
        let reply = self.does("DescribeInstances", &format!("InstanceId.1={instance}")).await;
        reply.within("instanceState").first().map(|state| one(state, "name")).unwrap_or_default()
    }

    pub async fn volume_state(&self, volume: &str) -> String {
        self.does("DescribeVolumes", &format!("VolumeId.1={volume}")).await.items("volumeSet")[0]
            .split("<status>")
            .nth(1)
            .and_then(|rest| rest.split('<').next())
            .unwrap_or_default()
            .to_owned()
    }

    pub async fn snapshot_state(&self, snapshot: &str) -> String {
        self.does("DescribeSnapshots", &format!("SnapshotId.1={snapshot}")).await.one("status")
    }
}

impl Reply {
    /// The text of the first element of a name.
    pub fn one(&self, name: &str) -> String {
        one(&self.body, name)
    }

    pub fn all(&self, name: &str) -> Vec<String> {
        all(&self.body, name)
    }

    /// What is inside of elements of a name, other elements included.
    pub fn within(&self, name: &str) -> Vec<String> {
        all(&self.body, name)
    }

    /// The members of a list, split where one `item` ends beside another.
    pub fn items(&self, list: &str) -> Vec<String> {
        let Some(inside) = all(&self.body, list).into_iter().next() else { return Vec::new() };
        let (mut items, mut depth, mut begin, mut at) = (Vec::new(), 0usize, 0usize, 0usize);
        while let Some(next) = inside[at..].find('<').map(|offset| at + offset) {
            if inside[next..].starts_with("<item>") {
                if depth == 0 {
                    begin = next + "<item>".len();
                }
                depth += 1;
            } else if inside[next..].starts_with("</item>") {
                depth -= 1;
                if depth == 0 {
                    items.push(inside[begin..next].to_owned());
                }
            }
            at = next + 1;
        }
        items
    }
}

pub fn one(xml: &str, name: &str) -> String {
    all(xml, name).into_iter().next().unwrap_or_default()
}

pub fn all(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some(begin) = rest.find(&open) {
        rest = &rest[begin + open.len()..];
        let Some(end) = rest.find(&close) else { break };
        found.push(rest[..end].to_owned());
        rest = &rest[end..];
    }
    found
}
