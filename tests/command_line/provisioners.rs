//! The file with provisioners, and what it leaves to variables of the environment.

use std::process::Command;

use fake_ec2::{Fake, Rules};
use serde_json::Value;
use tests::{Outcome, Setting, programs};
use tokio::net::TcpListener;

const FILE: &str = r#"
[ec2.frankfurt]
region = "eu-central-1"
endpoint = "http://${EC2_ADDRESS}"
portal_url = "http://172.31.0.1:1"
images.host = { owner = "amazon", name = "al2023-ami-2023.*-x86_64" }
sizes = [{ types = ["t3.small"] }]
instance_profile = "servers"
instance_role = "arn:aws:iam::${OUR_ACCOUNT}:role/servers"
"#;

const UNSET: &str = "[ec2.frankfurt] `instance_role` wants the variable OUR_ACCOUNT, which is not set";

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_takes_the_file_and_what_is_left_out_of_it_from_its_environment_or_says_which_variable_is_missing()
-> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(fake_ec2::serve(Fake::new(Rules::calm()), listener));
    let setting = || -> Outcome<Setting> {
        let setting = Setting::new()?;
        let file = setting.home().join("provisioners.toml");
        std::fs::write(&file, FILE)?;
        let setting = setting.variable("BOOKEND_PROVISIONERS", &file.display().to_string());
        let setting = setting.variable("AWS_ACCESS_KEY_ID", "AKIAFAKEOURS").variable("AWS_SECRET_ACCESS_KEY", "x");
        Ok(setting.variable("BOOKEND_DEFAULT_PROVISIONER", "frankfurt").variable("EC2_ADDRESS", &address))
    };
    for without in [setting()?, setting()?.variable("OUR_ACCOUNT", "")] {
        let said = without.refusal().await?;
        assert!(said.contains(UNSET) && said.contains("provisioners.toml"), "{said}");
    }
    let portal = setting()?.variable("OUR_ACCOUNT", "111122223333").start().await?;
    let known = portal.administrator().await?.get("/me").await?.expect_success()?;
    assert!(known.is_object(), "{known}");
    Ok(())
}

#[test]
fn the_doctor_reads_the_file_as_a_portal_does() -> Outcome {
    let home = tempfile::tempdir()?;
    let file = home.path().join("provisioners.toml");
    std::fs::write(&file, FILE)?;
    let doctor = |account: Option<&str>| {
        let mut command = Command::new(programs::bookend());
        command
            .args(["doctor", "ec2", "--policy"])
            .env("BOOKEND_PROVISIONERS", &file)
            .env("EC2_ADDRESS", "127.0.0.1:1");
        command.env_remove("OUR_ACCOUNT").envs(account.map(|account| ("OUR_ACCOUNT", account))).output()
    };
    let output = doctor(Some("111122223333"))?;
    let policy: Value = serde_json::from_slice(&output.stdout)?;
    assert!(policy.to_string().contains("arn:aws:iam::111122223333:role/servers"), "{policy:#}");
    let output = doctor(None)?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(UNSET), "{said}");
    Ok(())
}
