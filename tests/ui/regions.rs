//! A portal whose environments come up in two regions of one account, on a make-believe Amazon.

use fake_ec2::Fake;
use tests::amazon::{self, table};
use tests::{Outcome, Portal, Setting};

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

/// `own`: what the table of frankfurt says besides. `templates`: each by its name and where its environments are.
pub async fn portal_on(fake: &Fake, own: &str, templates: &[(&str, &str)]) -> Outcome<Portal> {
    let endpoint = amazon::listen(fake).await?;
    let (frankfurt, dublin) = (table("frankfurt", "eu-central-1", &endpoint), table("dublin", "eu-west-1", &endpoint));
    let mut setting = Setting::new()?.provisioners(&format!("{frankfurt}{own}\n{dublin}"))?;
    for (name, provisioner) in templates {
        setting = setting.template(name, &SHELF.replace("NAME", name).replace("PROVISIONER", provisioner))?;
    }
    setting.start().await
}
