//! The file with provisioners, and what it leaves to variables of the environment.

use std::process::Command;

use fake_ec2::{Fake, Rules};
use serde_json::Value;
use tests::amazon::{self, KEYS, table};
use tests::{Outcome, Setting, programs};

fn file() -> String {
    table("frankfurt", "eu-central-1", "http://${EC2_ADDRESS}")
        + "instance_profile = \"servers\"\ninstance_role = \"arn:aws:iam::${OUR_ACCOUNT}:role/servers\"\n"
}

const UNSET: &str = "[ec2.frankfurt] `instance_role` wants the variable OUR_ACCOUNT, which is not set";

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_takes_the_file_and_what_is_left_out_of_it_from_its_environment_or_says_which_variable_is_missing()
-> Outcome {
    let endpoint = amazon::listen(&Fake::new(Rules::calm())).await?;
    let address = endpoint.trim_start_matches("http://");
    let setting = || -> Outcome<Setting> {
        let setting = Setting::new()?;
        let file = setting.home().join("provisioners.toml");
        std::fs::write(&file, self::file())?;
        let setting = setting.variable("BOOKEND_PROVISIONERS", &file.display().to_string());
        let setting = KEYS.into_iter().fold(setting, |setting, (name, value)| setting.variable(name, value));
        Ok(setting.variable("BOOKEND_DEFAULT_PROVISIONER", "frankfurt").variable("EC2_ADDRESS", address))
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
    std::fs::write(&file, self::file())?;
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
