//! A portal whose environments come up in two regions of one account, on a make-believe Amazon.

use fake_ec2::Fake;
use tests::{Outcome, Portal, Setting};
use tokio::net::TcpListener;

/// One server with a volume.
const SHELF: &str = r#"
name: NAME
version: "1.0.0"
title: Shelf
summary: A server with something on a volume.
category: Basics
provisioner: PROVISIONER
servers:
  box: {}
volumes:
  shelf: {size: 1 GiB, mounts: {box: /shelf}}
"#;

const REGIONS: &str = r#"
[ec2.frankfurt]
region = "eu-central-1"
endpoint = "ENDPOINT"
portal_url = "http://172.31.0.1:1"
images.host = { owner = "amazon", name = "al2023-ami-2023.*-x86_64" }
sizes = [{ types = ["t3.small"] }]
OWN

[ec2.dublin]
region = "eu-west-1"
endpoint = "ENDPOINT"
portal_url = "http://172.31.0.1:1"
images.host = { owner = "amazon", name = "al2023-ami-2023.*-x86_64" }
sizes = [{ types = ["t3.small"] }]
"#;

/// `own`: what the table of frankfurt says besides. `templates`: each by its name and where its environments are.
pub async fn portal_on(fake: &Fake, own: &str, templates: &[(&str, &str)]) -> Outcome<Portal> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    tokio::spawn(fake_ec2::serve(fake.clone(), listener));
    let mut setting = Setting::new()?;
    for (name, provisioner) in templates {
        setting = setting.template(name, &SHELF.replace("NAME", name).replace("PROVISIONER", provisioner))?;
    }
    let file = setting.home().join("provisioners.toml");
    std::fs::write(&file, REGIONS.replace("ENDPOINT", &endpoint).replace("OWN", own))?;
    let setting = setting.options(&["--provisioners", &file.display().to_string()]);
    setting.variable("AWS_ACCESS_KEY_ID", "AKIAFAKEOURS").variable("AWS_SECRET_ACCESS_KEY", "x").start().await
}
