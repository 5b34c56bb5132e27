//! The policy that `doctor` prints: for any Bookend before there is one, and for one alone afterwards.

use std::path::Path;

use serde_json::Value;
use server::store::{Store, sqlite_url};
use tests::Outcome;
use tests::programs;
use tokio::process::Command;

use super::Ran;

async fn policy(data: &Path) -> Outcome<Ran> {
    let mut command = Command::new(programs::bookend());
    command.args(["doctor", "ec2", "--policy", "--data-dir"]).arg(data);
    Ok(Ran::of(command.env_remove("BOOKEND_PROVISIONERS").output().await?).ended_with(0))
}

/// Operators and what they compare the installation's tag with.
fn comparisons(policy: &Value) -> Vec<(String, Value)> {
    let statements = policy["Statement"].as_array().expect("statements");
    let conditions = statements.iter().filter_map(|statement| statement["Condition"].as_object());
    let all = conditions.flatten().flat_map(|(operator, keys)| {
        let keys = keys.as_object().expect("keys").iter();
        let ours = keys.filter(|(key, _)| key.ends_with("/bookend:installation"));
        ours.map(|(_, value)| (operator.clone(), value.clone()))
    });
    all.collect()
}

#[tokio::test]
async fn a_policy_names_the_portal_it_is_for_once_that_has_a_name() -> Outcome {
    let folder = tempfile::tempdir()?;
    let any = policy(folder.path()).await?;
    assert!(comparisons(&any.json()).iter().all(|(operator, value)| operator == "Null" && value == "false"));
    assert!(any.err.contains("--data-dir") && any.err.contains("--database-url"), "{}", any.err);
    assert!(!folder.path().join("bookend.db").exists(), "asking makes nothing");

    let store = Store::open(&sqlite_url(&folder.path().join("bookend.db"))).await?;
    let nameless = policy(folder.path()).await?;
    assert_eq!(nameless.json(), any.json(), "it was never started with provisioners");
    store.installation("0192-mine").await?;
    let mine = policy(folder.path()).await?;
    let compared = comparisons(&mine.json());
    assert_eq!(compared.len(), comparisons(&any.json()).len());
    assert!(
        compared.iter().all(|(operator, value)| operator == "StringEquals" && value == "0192-mine"),
        "{compared:?}"
    );
    assert_eq!(mine.err, "");
    Ok(())
}

#[tokio::test]
async fn a_doctor_that_is_given_nothing_to_look_at_says_so() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("provisioners.toml");
    std::fs::write(&file, "# later\n")?;
    let said = async |words: &[&str], code| -> Outcome<String> {
        let mut command = Command::new(programs::bookend());
        command.args(["doctor", "ec2"]).args(words).env_remove("BOOKEND_PROVISIONERS");
        Ok(Ran::of(command.output().await?).ended_with(code).err)
    };
    let path = file.display().to_string();
    for words in [&["--provisioners", &path][..], &["frankfurt", "--provisioners", &path]] {
        let said = said(words, 1).await?;
        assert!(said.contains("has no table [ec2.NAME]: there is nothing to look at"), "{words:?}: {said}");
    }
    let of_no_file = said(&["frankfurt", "--policy"], 2).await?;
    assert!(of_no_file.contains("--provisioners <FILE>"), "{of_no_file}");
    Ok(())
}
