//! Attack 16: `$(…)`, newline, quote, leading `-` and NUL in every order parameter, name and tag.

use app::api::Role;
use serde_json::json;
use tests::Outcome;

use super::mirror::{NASTY, house};

#[tokio::test(flavor = "multi_thread")]
async fn a_nasty_value_reaches_the_server_as_the_text_it_is() -> Outcome {
    let house = house().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let api = ann.api()?;
    for (number, nasty) in NASTY.iter().enumerate() {
        let name = format!("m{number}");
        let order = json!({ "template": "mirror", "name": name, "parameters": { "said": nasty, "password": nasty } });
        let ordered = ann.post("/environments", &order).await?;
        if ordered.status == 422 {
            // Control characters are no text: refused, with the fields named.
            let fields = ordered.body["fields"].to_string();
            assert!(nasty.contains('\u{1b}') && fields.contains("parameters.said"), "{nasty:?}: {fields}");
            continue;
        }
        assert_eq!(ordered.status, 201, "{nasty:?}: {}", ordered.body);
        api.await_state(&name, "ready").await?;
        for variable in ["SAID", "BOOKEND_PARAM_SAID", "BOOKEND_PARAM_PASSWORD"] {
            let (seen, _) = ann.exec(&name, "box", &["printenv", variable]).await?;
            assert_eq!(seen, format!("{nasty}\n"), "{variable}");
        }
        let (file, _) = ann.exec(&name, "box", &["cat", "/run/bookend/parameters/said"]).await?;
        assert_eq!(file, *nasty);
        let (owned, _) = ann.exec(&name, "box", &["sh", "-c", "ls /tmp/owned 2>/dev/null; true"]).await?;
        assert_eq!(owned, "", "{nasty:?} was run");
        api.act(&name, "delete").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nul_is_no_text_and_nasty_names_are_refused_everywhere() -> Outcome {
    let house = house().await?;
    let ann = house.guest("default", "ann", Role::Administrator).await?;
    let nul = json!({ "template": "mirror", "parameters": { "said": "a\0b", "password": "x" } });
    let refused = ann.post("/environments", &nul).await?;
    assert_eq!((refused.status.as_u16(), &refused.body["fields"][0]["field"]), (422, &json!("parameters.said")));
    for nasty in NASTY.into_iter().chain(["a\0b", "", "A", "-a", "a-", "a b", "a.b", "../a", &"a".repeat(41)]) {
        let name = ann.post("/environments", &json!({ "template": "scratch", "name": nasty })).await?;
        assert_eq!((name.status.as_u16(), &name.body["fields"][0]["field"]), (422, &json!("name")), "{nasty:?}");
        for field in ["template", "version"] {
            let mut order = json!({ "template": "scratch" });
            order[field] = json!(nasty);
            let refused = ann.post("/environments", &order).await?;
            assert!(matches!(refused.status.as_u16(), 404 | 409 | 422), "{field} {nasty:?}: {}", refused.body);
        }
        let parameter = ann.post("/environments", &json!({"template": "scratch", "parameters": {nasty: "x"}})).await?;
        assert_eq!(parameter.status, 422, "{nasty:?}");
        let person = json!({ "name": nasty, "password": "long enough", "role": "user" });
        let person = ann.post("/people", &person).await?;
        // People may be called what environments may not.
        if !matches!(nasty, "A" | "a-" | "a.b") && !nasty.starts_with("aaa") {
            assert_eq!(
                (person.status.as_u16(), &person.body["fields"][0]["field"]),
                (422, &json!("name")),
                "{nasty:?}"
            );
        }
    }
    assert_eq!(ann.environments().await?, 0);
    Ok(())
}
