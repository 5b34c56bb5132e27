//! Attack 26: a cloned environment that keeps the previous person's identity.

use app::api::Role;
use serde_json::{Value, json};
use tests::house::Plan;
use tests::{Guest, House, Outcome};

const VAULT: &str = r#"
name: vault
version: "1"
title: Vault
summary: Keeps a word.
description: Keeps a word.
category: Test
parameters:
  motto: {type: string, title: Motto, default: plain}
  password: {type: secret, title: Password}
servers:
  box:
    setup: echo "made for $BOOKEND_ENVIRONMENT" > /keep/made
    services:
      sleeper: {command: exec sleep 100000}
volumes:
  keep: {size: 1GiB, mounts: {box: /keep}}
"#;

async fn vault() -> Outcome<House> {
    House::built(Plan { templates: vec![("vault.yaml", VAULT.into())], ..Plan::default() }).await
}

async fn order(
    guest: &Guest,
    name: &str,
    password: &str,
    data: Option<Value>,
    owner: Option<&str>,
) -> Outcome<(u16, Value)> {
    let parameters = json!({ "password": password });
    let order = json!({ "template": "vault", "name": name, "parameters": parameters, "data": data, "owner": owner });
    let answer = guest.post("/environments", &order).await?;
    Ok((answer.status.as_u16(), answer.body))
}

async fn told(guest: &Guest, environment: &str, script: &str) -> Outcome<String> {
    Ok(guest.exec(environment, "box", &["sh", "-c", script]).await?.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colleagues_clone_has_the_data_and_nothing_of_who_it_was_before() -> Outcome {
    let house = vault().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let ben = house.guest("default", "ben", Role::User).await?;
    let (status, ordered) = order(&ann, "hers", "canary-of-ann", None, None).await?;
    assert_eq!(status, 201, "{ordered:#}");
    ann.api()?.await_state("hers", "ready").await?;
    told(&ann, "hers", "echo poem > /keep/poem").await?;

    // Data that is another's cannot be taken, nor given where it is not wanted.
    let theirs = json!({ "environment": "hers" });
    assert_eq!(order(&ben, "his", "canary-of-ben", Some(theirs.clone()), None).await?.0, 403);
    assert_eq!(order(&ann, "his", "x", None, Some("ben")).await?.0, 403, "without data people order for themselves");
    let (status, refused) = order(&ann, "his", "canary-of-ben", Some(theirs.clone()), Some("nobody")).await?;
    assert_eq!((status, &refused["fields"][0]["field"]), (422, &json!("owner")));
    assert_eq!(order(&ann, "his", "", Some(theirs.clone()), Some("ben")).await?.0, 422, "secrets are not copied");

    let (status, clone) = order(&ann, "his", "canary-of-ben", Some(theirs), Some("ben")).await?;
    assert_eq!((status, &clone["owner"]), (201, &json!("ben")), "{clone:#}");
    ben.api()?.await_state("his", "ready").await?;
    let data = told(&ben, "his", "cat /keep/poem /keep/made").await?;
    assert_eq!(data, "poem\nmade for hers\n", "the volume comes as it was, so it is not set up again");

    // What is on one is not on the other from now on.
    told(&ben, "his", "echo changed > /keep/poem").await?;
    assert_eq!(told(&ann, "hers", "cat /keep/poem").await?, "poem\n");

    // Who may do what follows the owner, in both.
    for (guest, environment) in [(&ann, "his"), (&ben, "hers")] {
        assert!(told(guest, environment, "true").await.is_err(), "{} in {environment}", guest.name);
        let refused = guest.post(&format!("/environments/{environment}/park"), &json!({})).await?;
        assert_eq!(refused.status, 403);
    }

    // Nothing by which a server proves who it is, and no secret, went along.
    let everything =
        "env; cat /proc/[0-9]*/environ /keep/* 2>/dev/null; find /run/bookend /keep -type f -exec cat {} +; hostname";
    let his = told(&ben, "his", everything).await?;
    assert!(his.contains("canary-of-ben") && !his.contains("canary-of-ann"), "{his}");
    for proof in ["identity", "state/session-key"] {
        let of = async |guest: &Guest, environment: &str| {
            told(guest, environment, &format!("cat /run/bookend/{proof}")).await
        };
        let (his, hers) = (of(&ben, "his").await?, of(&ann, "hers").await?);
        assert!(!his.is_empty() && !hers.is_empty() && his != hers, "{proof}: {his}");
    }
    for environment in ["his", "hers"] {
        let owner = if environment == "his" { &ben } else { &ann };
        owner.api()?.act(environment, "delete").await?;
    }
    Ok(())
}
