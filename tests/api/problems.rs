//! Whatever is wrong with a request, the answer is a problem that names the field, and nothing was changed.

use app::api::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{House, Outcome};

/// Method, path, body; then status and the field (or the code, where no field is wrong).
type Case = (Method, &'static str, Option<&'static str>, u16, &'static str);

const NAMELESS: &str = r#"{"template":"scratch","name":"A B","parameters":{"x":"y"}}"#;

fn cases() -> Vec<Case> {
    let order = "/environments";
    vec![
        (Method::GET, "/nothing", None, 404, "not_found"),
        (Method::PUT, "/me", None, 405, "method_not_allowed"),
        (Method::POST, order, Some("{\"template\":"), 400, "bad_request"),
        (Method::POST, order, Some("{} {}"), 422, "template"),
        (Method::POST, order, Some("{\"template\":\"scratch\"} x"), 400, "bad_request"),
        (Method::POST, order, Some("[]"), 422, "body"),
        (Method::POST, order, Some("{\"template\":3}"), 422, "template"),
        (Method::POST, order, Some("{\"nmae\":\"x\"}"), 422, "nmae"),
        (Method::POST, order, Some(NAMELESS), 422, "name"),
        (Method::POST, order, Some("{\"template\":\"scratch\",\"parameters\":{\"a\":1}}"), 422, "parameters.a"),
        (Method::POST, order, Some("{\"template\":\"no-such\"}"), 404, "not_found"),
        (Method::POST, "/environments/none/explode", Some("{}"), 422, "action"),
        (Method::POST, "/environments/none/park", Some("{}"), 404, "not_found"),
        (Method::GET, "/environments?limit=abc", None, 422, "limit"),
        (Method::GET, "/environments?limit=0", None, 422, "limit"),
        (Method::GET, "/environments?limit=201", None, 422, "limit"),
        (Method::GET, "/environments?limit=1&limit=2", None, 422, "limit"),
        (Method::GET, "/environments?stat=ready", None, 422, "stat"),
        (Method::GET, "/environments?sort=colour", None, 422, "sort"),
        (Method::POST, "/actions", Some("{\"action\":\"park\",\"environments\":[]}"), 422, "environments"),
        (Method::POST, "/actions", Some("{\"action\":\"explode\",\"environments\":[\"a\"]}"), 422, "action"),
        (Method::PATCH, "/me", Some("{\"time_zone\":\"../../etc/passwd\"}"), 422, "time_zone"),
        (Method::PUT, "/me/password", Some("{\"old\":\"x\",\"new\":\"short\"}"), 422, "new"),
        (Method::DELETE, "/sessions/none", None, 404, "not_found"),
        (Method::GET, "/environments?state=red", None, 422, "state"),
        (Method::GET, "/environments?cursor=x", None, 422, "cursor"),
        (Method::GET, "/environments/%ff", None, 400, "bad_request"),
        (Method::GET, "/environments/none/timeline?limit=x", None, 422, "limit"),
        (Method::GET, "/environments/none/logs?follow=maybe", None, 422, "follow"),
        (Method::GET, "/environments/none/servers/a/ports/0", None, 422, "port"),
        (Method::GET, "/environments/none/servers/a/ports/http", None, 422, "port"),
        (Method::GET, "/environments/none/servers/a/ports/80", None, 426, "upgrade_required"),
        (Method::POST, "/tokens", Some("{\"name\":\"\"}"), 422, "name"),
        (Method::POST, "/tokens", Some("{\"name\":\"a\",\"expires_in_days\":0}"), 422, "expires_in_days"),
        (Method::DELETE, "/tokens/none", None, 404, "not_found"),
        (Method::POST, "/people", Some("{\"name\":\"é\",\"password\":\"long enough\",\"role\":\"user\"}"), 422, "name"),
        (Method::POST, "/people", Some("{\"name\":\"ben\",\"password\":\"short\",\"role\":\"user\"}"), 422, "password"),
        (
            Method::POST,
            "/people",
            Some("{\"name\":\"ben\",\"password\":\"long enough\",\"role\":\"god\"}"),
            422,
            "role",
        ),
        (Method::PATCH, "/people/nobody", Some("{\"disabled\":true}"), 404, "not_found"),
        (Method::PATCH, "/people/ann", Some("{\"disabled\":\"yes\"}"), 422, "disabled"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_request_gets_a_problem_that_names_the_field_and_changes_nothing() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::Administrator).await?;
    for (method, path, body, status, what) in cases() {
        let mut request = ann.request(method.clone(), path);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await?;
        let said = format!("{method} {path} {}", body.unwrap_or_default());
        assert_eq!(response.status().as_u16(), status, "{said}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{said}");
        let problem: Value = response.json().await?;
        assert_eq!(problem["status"], status, "{said}");
        let fields: Vec<&str> =
            problem["fields"].as_array().into_iter().flatten().filter_map(|f| f["field"].as_str()).collect();
        match fields.as_slice() {
            [] => assert_eq!(problem["code"], what, "{said}: {problem}"),
            fields => assert_eq!(fields[0], what, "{said}: {problem}"),
        }
    }
    assert_eq!(ann.environments().await?, 0);
    assert_eq!(ann.get("/people").await?.body.as_array().map(Vec::len), Some(1));
    assert_eq!(ann.get("/tokens").await?.body.as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_json_or_too_large_is_refused_before_it_is_read() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let plain = ann.request(Method::POST, "/environments").body("template=scratch").send().await?;
    assert_eq!(plain.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let large = "x".repeat(300 * 1024);
    let announced = ann.request(Method::POST, "/environments").header("content-type", "application/json");
    assert_eq!(announced.body(large.clone()).send().await?.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let chunks = futures::stream::iter(
        large.into_bytes().chunks(1000).map(|part| Ok::<_, std::io::Error>(part.to_vec())).collect::<Vec<_>>(),
    );
    let chunked = ann.request(Method::POST, "/environments").header("content-type", "application/json");
    let refused = chunked.body(reqwest::Body::wrap_stream(chunks)).send().await?;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn problems_read_like_this() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    insta::assert_json_snapshot!(ann.get("/nothing").await?.body, @r#"
    {
      "code": "not_found",
      "detail": "GET /api/v1/openapi.json lists all there are.",
      "status": 404,
      "title": "There is no address “/api/v1/nothing”"
    }
    "#);
    let order: Value = serde_json::from_str(NAMELESS)?;
    insta::assert_json_snapshot!(ann.post("/environments", &order).await?.body, @r#"
    {
      "code": "invalid",
      "fields": [
        {
          "field": "name",
          "message": "should be lower-case letters, digits and hyphens, beginning with a letter, not ending with a hyphen, at most 40"
        },
        {
          "field": "parameters.x",
          "message": "`scratch` has no such parameter"
        }
      ],
      "status": 422,
      "title": "2 fields need another value"
    }
    "#);
    let nobody = house.http.get(house.url("/api/v1/me")).send().await?;
    assert_eq!(nobody.headers()["www-authenticate"], "Bearer");
    insta::assert_json_snapshot!(nobody.json::<Value>().await?, @r#"
    {
      "code": "unauthenticated",
      "detail": "Sign in, or give a valid API token.",
      "status": 401,
      "title": "You are not signed in"
    }
    "#);
    insta::assert_json_snapshot!(ann.post("/people", &json!({"name": "ben", "password": "long enough", "role": "user"})).await?.body, @r#"
    {
      "code": "forbidden",
      "status": 403,
      "title": "Only administrators can do this"
    }
    "#);
    Ok(())
}
