//! Attack 25: other people's things by their ids, on every use case and every route, also through the words of an error.

use std::collections::BTreeSet;

use app::api::{
    Action, ApiError, DraftRequest, EnvironmentChange, EnvironmentQuery, FilePlace, FileRestore, ImportRequest,
    LogSelection, ManyRequest, OrderChange, OrderRequest, PasswordChange, PersonRequest, RestoreRequest, Role,
    SnapshotChange, SnapshotRequest, SnapshotRule, TokenRequest, Upload,
};
use app::portal::{Actor, Channel, Portal};
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Guest, House, Outcome};

use super::mirror;

/// Who asks about ann's environment. In this order an answer stands in [`MATRIX`].
const WHO: [&str; 6] = ["nobody", "stranger", "their administrator", "colleague", "owner", "administrator"];

/// What each use case answers to each of [`WHO`]: 200, or the error's status. A use case that is not here, or is here and no
/// longer there, fails the test below.
const MATRIX: &[(&str, [u16; 6])] = &[
    // Nobody needs to be anybody for these; the wrong password and the invented link are refused to all.
    ("sign_in", [401, 401, 401, 401, 401, 401]),
    ("first_administrator", [404, 404, 404, 404, 404, 404]),
    ("check_setup_link", [404, 404, 404, 404, 404, 404]),
    // About oneself.
    ("sign_out", [401, 404, 404, 404, 404, 404]),
    ("me", [401, 200, 200, 200, 200, 200]),
    ("tokens", [401, 200, 200, 200, 200, 200]),
    ("create_token", [401, 422, 422, 422, 422, 422]),
    ("revoke_token", [401, 404, 404, 404, 200, 404]),
    ("set_time_zone", [401, 422, 422, 422, 422, 422]),
    ("change_password", [401, 422, 422, 422, 422, 422]),
    ("sessions", [401, 200, 200, 200, 200, 200]),
    ("end_session", [401, 404, 404, 404, 404, 404]),
    ("end_other_sessions", [401, 200, 200, 200, 200, 200]),
    // Administrators, of their own team.
    ("people", [401, 403, 200, 403, 403, 200]),
    ("create_person", [401, 403, 422, 403, 403, 422]),
    ("set_person_disabled", [401, 403, 404, 403, 403, 200]),
    ("operation", [401, 403, 200, 403, 403, 200]),
    ("leftovers", [401, 403, 200, 403, 403, 200]),
    ("leftovers_found", [401, 403, 200, 403, 403, 200]),
    ("remove_leftover", [401, 403, 404, 403, 403, 404]),
    // It has no repository.
    ("repository_snapshots", [401, 403, 409, 403, 403, 409]),
    ("import_snapshot", [401, 403, 409, 403, 403, 409]),
    // The team.
    ("repository", [401, 200, 200, 200, 200, 200]),
    ("catalog", [401, 200, 200, 200, 200, 200]),
    ("template", [401, 200, 200, 200, 200, 200]),
    // From ann's environment.
    ("draft", [401, 404, 404, 200, 200, 200]),
    ("check_name", [401, 200, 200, 200, 200, 200]),
    ("order", [401, 422, 422, 422, 422, 422]),
    ("environments", [401, 200, 200, 200, 200, 200]),
    ("activity", [401, 200, 200, 200, 200, 200]),
    ("environment", [401, 404, 404, 200, 200, 200]),
    ("timeline", [401, 404, 404, 200, 200, 200]),
    ("events", [401, 404, 404, 200, 200, 200]),
    ("snapshots", [401, 404, 404, 200, 200, 200]),
    // The owner, and administrators of the team. It has no volumes, so that there is nothing to keep.
    ("set_snapshot_rule", [401, 404, 404, 403, 409, 409]),
    ("drill", [401, 404, 404, 403, 409, 409]),
    ("take_snapshot", [401, 404, 404, 403, 409, 409]),
    ("change_snapshot", [401, 404, 404, 403, 404, 404]),
    ("delete_snapshot", [401, 404, 404, 403, 404, 404]),
    ("keep_snapshot_warm", [401, 404, 404, 403, 404, 404]),
    ("restore", [401, 404, 404, 403, 404, 404]),
    ("verify_snapshot", [401, 404, 404, 403, 404, 404]),
    ("stop_verification", [401, 404, 404, 403, 404, 404]),
    ("compare_snapshots", [401, 404, 404, 403, 404, 404]),
    ("files", [401, 404, 404, 403, 404, 404]),
    ("download", [401, 404, 404, 403, 404, 404]),
    ("upload", [401, 404, 404, 403, 404, 404]),
    ("restore_files", [401, 404, 404, 403, 404, 404]),
    ("export_snapshot", [401, 404, 404, 403, 404, 404]),
    ("act", [401, 404, 404, 403, 409, 409]),
    ("describe", [401, 404, 404, 403, 422, 422]),
    ("change_order", [401, 404, 404, 403, 422, 422]),
    // As `act`: each is answered for itself.
    ("act_on_many", [401, 404, 404, 403, 409, 409]),
    ("logs", [401, 404, 404, 403, 200, 200]),
    ("follow_logs", [401, 404, 404, 403, 200, 200]),
    ("whole_log", [401, 404, 404, 403, 200, 200]),
    ("open", [401, 404, 404, 403, 422, 422]),
];

struct World {
    house: House,
    owner: Guest,
    actors: [Actor; 6],
    guests: Vec<Guest>,
    /// Id of ann's environment, and of a token of hers.
    environment: String,
    token: String,
}

async fn world() -> Outcome<World> {
    let house = mirror::house().await?;
    house.stock("theirs").await?;
    let stranger = house.guest("theirs", "eve", Role::User).await?;
    let their_boss = house.guest("theirs", "mallory", Role::Administrator).await?;
    let colleague = house.guest("default", "ben", Role::User).await?;
    let owner = house.guest("default", "ann", Role::User).await?;
    let boss = house.guest("default", "boss", Role::Administrator).await?;
    let order = json!({ "template": "mirror", "name": "shop", "parameters": { "password": "canary-c4n4ry" } });
    let ordered = owner.post("/environments", &order).await?.expect_success()?;
    owner.api()?.await_state("shop", "ready").await?;
    let token = owner.post("/tokens", &json!({ "name": "spare" })).await?.expect_success()?;
    let guests = vec![stranger, their_boss, colleague, owner.clone(), boss];
    let mut actors = vec![Actor::Anonymous { from: None, browser: None }];
    for guest in &guests {
        actors.push(guest.actor(&house).await?);
    }
    let actors = actors.try_into().map_err(|_| "six ask")?;
    let text = |value: &Value| value["id"].as_str().unwrap_or_default().to_string();
    Ok(World { house, owner, actors, guests, environment: text(&ordered), token: text(&token) })
}

/// Calls a use case about this environment.
async fn call(world: &World, method: &str, actor: &Actor, environment: &str) -> Option<Result<(), ApiError>> {
    let portal: &dyn Portal = world.house.use_cases();
    let place = FilePlace { volume: "data".into(), snapshot: None, path: "x".into() };
    let terminal = Channel::Terminal { session: "t".into(), cols: 0, rows: 0 };
    Some(match method {
        "sign_in" => portal.sign_in(actor, environment, "wrong").await.map(drop),
        "first_administrator" => portal.first_administrator(actor, "x", "evil", "long enough").await.map(drop),
        "check_setup_link" => portal.check_setup_link(actor, "x").await,
        "sign_out" => portal.sign_out(actor, "invented").await,
        "me" => portal.me(actor).await.map(drop),
        "tokens" => portal.tokens(actor).await.map(drop),
        "create_token" => {
            portal.create_token(actor, TokenRequest { name: String::new(), expires_in_days: None }).await.map(drop)
        }
        "revoke_token" => portal.revoke_token(actor, &world.token).await,
        "set_time_zone" => portal.set_time_zone(actor, Some("Nowhere/Land")).await.map(drop),
        "change_password" => {
            let change = PasswordChange { old: "x".into(), new: "short".into() };
            portal.change_password(actor, change, None).await
        }
        "sessions" => portal.sessions(actor, None).await.map(drop),
        "end_session" => portal.end_session(actor, "invented").await,
        "end_other_sessions" => portal.end_other_sessions(actor, None).await.map(drop),
        "people" => portal.people(actor).await.map(drop),
        "create_person" => {
            let request = PersonRequest { name: "x".into(), password: "short".into(), role: Role::Administrator };
            portal.create_person(actor, request).await.map(drop)
        }
        "set_person_disabled" => portal.set_person_disabled(actor, "ann", false).await.map(drop),
        "operation" => portal.operation(actor).await.map(drop),
        "leftovers" => portal.leftovers(actor).await.map(drop),
        "leftovers_found" => portal.leftovers_found(actor).await.map(drop),
        "remove_leftover" => portal.remove_leftover(actor, "local", environment, Some(environment)).await,
        "catalog" => portal.catalog(actor).await.map(drop),
        "template" => portal.template(actor, "scratch", None).await.map(drop),
        "draft" => {
            let request = DraftRequest { from: Some(environment.into()), ..Default::default() };
            portal.draft(actor, "mirror", request).await.map(drop)
        }
        "check_name" => portal.check_name(actor, environment).await.map(drop),
        "order" => {
            let order = OrderRequest { template: "scratch".into(), name: Some("A".into()), ..Default::default() };
            portal.order(actor, order, None).await.map(drop)
        }
        "environments" => portal.environments(actor, EnvironmentQuery::default()).await.map(drop),
        "environment" => portal.environment(actor, environment).await.map(drop),
        "timeline" => portal.timeline(actor, environment, None, 10).await.map(drop),
        "events" => portal.events(actor, Some(environment)).await.map(drop),
        // Nothing has failed, so that nobody can retry: whoever may is told so.
        "act" => portal.act(actor, environment, Action::Retry).await.map(drop),
        "describe" => {
            let change = EnvironmentChange { name: Some("A".into()), ..Default::default() };
            portal.describe(actor, environment, change).await.map(drop)
        }
        "change_order" => {
            let parameters = [("nothing".to_owned(), "x".to_owned())].into();
            portal.change_order(actor, environment, OrderChange { version: None, parameters }).await.map(drop)
        }
        "act_on_many" => {
            let request = ManyRequest { action: Action::Retry, environments: vec![environment.into()] };
            match portal.act_on_many(actor, request).await {
                Ok(results) => results.into_iter().try_for_each(|result| result.problem.map_or(Ok(()), Err)),
                Err(error) => Err(error),
            }
        }
        "snapshots" => portal.snapshots(actor, environment).await.map(drop),
        "repository" => portal.repository(actor).await.map(drop),
        "repository_snapshots" => portal.repository_snapshots(actor).await.map(drop),
        "import_snapshot" => portal.import_snapshot(actor, environment, ImportRequest::default()).await.map(drop),
        "export_snapshot" => portal.export_snapshot(actor, environment, "latest").await.map(drop),
        "set_snapshot_rule" => portal.set_snapshot_rule(actor, environment, SnapshotRule::Never).await.map(drop),
        "drill" => portal.drill(actor, environment).await.map(drop),
        "take_snapshot" => portal.take_snapshot(actor, environment, SnapshotRequest::default()).await.map(drop),
        "change_snapshot" => {
            portal.change_snapshot(actor, environment, "latest", SnapshotChange::default()).await.map(drop)
        }
        "delete_snapshot" => portal.delete_snapshot(actor, environment, "latest").await,
        "keep_snapshot_warm" => portal.keep_snapshot_warm(actor, environment, "latest", Some(1)).await.map(drop),
        "restore" => portal.restore(actor, environment, RestoreRequest::default()).await.map(drop),
        "verify_snapshot" => portal.verify_snapshot(actor, environment, "latest").await.map(drop),
        "stop_verification" => portal.stop_verification(actor, environment, "latest").await,
        "compare_snapshots" => portal.compare_snapshots(actor, environment, "latest", None).await.map(drop),
        "files" => portal.files(actor, environment, &place, None, 10).await.map(drop),
        "download" => portal.download(actor, environment, &place).await.map(drop),
        "upload" => {
            let content = Box::pin(futures::stream::empty());
            portal.upload(actor, environment, &place, Upload::default(), content).await.map(drop)
        }
        "restore_files" => {
            let request = FileRestore { path: "x".into(), ..Default::default() };
            portal.restore_files(actor, environment, "data", request).await.map(drop)
        }
        "activity" => portal.activity(actor).await.map(drop),
        "logs" => portal.logs(actor, environment, &LogSelection::default(), 10).await.map(drop),
        "follow_logs" => portal.follow_logs(actor, environment, &LogSelection::default(), 10, None).await.map(drop),
        "whole_log" => portal.whole_log(actor, environment, &LogSelection::default()).await.map(drop),
        "open" => portal.open(actor, environment, "box", terminal).await.map(drop),
        _ => return None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_use_case_answers_each_role_of_each_team_as_written_down() -> Outcome {
    let listed: BTreeSet<&str> = MATRIX.iter().map(|(method, _)| *method).collect();
    assert_eq!(listed, use_cases(), "the matrix and trait Portal differ: write down who may");
    let world = world().await?;
    for (method, expected) in MATRIX {
        for environment in [world.environment.as_str(), "shop"] {
            // A token can be revoked once only.
            if *method == "revoke_token" && environment == "shop" {
                continue;
            }
            for ((who, actor), expected) in WHO.iter().zip(&world.actors).zip(expected) {
                let answer = call(&world, method, actor, environment).await.ok_or(format!("{method} is not called"))?;
                let status = answer.as_ref().map_or_else(|error| error.status, |()| 200);
                assert_eq!(status, *expected, "{method} of {environment} by {who}: {answer:?}");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_theirs_is_refused_in_the_same_words_as_what_is_not_there() -> Outcome {
    let world = world().await?;
    let absent = "01a1fc91-c4b9-778f-b136-26cf533212c3";
    for (method, _) in MATRIX.iter().filter(|(_, expected)| expected[1] == 404 && expected[3] != 404) {
        for actor in &world.actors[1..3] {
            for (real, made_up) in [(world.environment.as_str(), absent), ("shop", "shoq")] {
                let real_answer = call(&world, method, actor, real).await.and_then(Result::err);
                let absent_answer = call(&world, method, actor, made_up).await.and_then(Result::err);
                let (real_answer, absent_answer) = (format!("{real_answer:?}"), format!("{absent_answer:?}"));
                assert_eq!(real_answer.replace(real, "X"), absent_answer.replace(made_up, "X"), "{method}");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_with_an_id_in_it_gives_anything_of_another_team_away() -> Outcome {
    let world = world().await?;
    let spec: Value = world.house.http.get(world.house.url("/api/v1/openapi.json")).send().await?.json().await?;
    let mut asked = 0;
    for (path, item) in spec["paths"].as_object().into_iter().flatten() {
        if !path.contains("{environment}") {
            continue;
        }
        for method in item.as_object().into_iter().flatten().map(|(method, _)| method.to_uppercase()) {
            for stranger in &world.guests[..2] {
                for environment in [world.environment.as_str(), "shop"] {
                    let path = path.trim_start_matches("/api/v1").replace("{environment}", environment);
                    let path = path.replace("{server}", "box").replace("{action}", "delete").replace("{port}", "80");
                    let path = path.replace("{snapshot}", "latest").replace("{volume}", "data");
                    let status = if path.contains("/servers/") {
                        let token = format!("Bearer {}", stranger.token);
                        let query = "session=t&cols=80&rows=24";
                        let exec = "request=eyJjb21tYW5kIjpbImlkIl0sInR0eSI6bnVsbCwiZGlyZWN0b3J5IjpudWxsLCJ2YXJpYWJsZXMiOnt9fQ";
                        let path = match path.rsplit('/').next() {
                            Some("terminal") => format!("{path}?{query}"),
                            Some("exec") => format!("{path}?{exec}"),
                            _ => path.clone(),
                        };
                        stranger.handshake(&path, &[("authorization", &token)]).await?.status
                    } else {
                        let body = match path.rsplit('/').next() {
                            Some("snapshot-rule") => json!({ "rule": "never" }),
                            Some("warm") => json!({ "hours": 1 }),
                            _ => json!({}),
                        };
                        stranger.request(method.parse()?, &path).json(&body).send().await?.status()
                    };
                    assert_eq!(status, 404, "{method} {path} by {}", stranger.name);
                    asked += 1;
                }
            }
        }
    }
    assert!(asked >= 28, "only {asked} requests were made");
    for stranger in &world.guests[..2] {
        let events = format!("/events?environment={}", world.environment);
        assert_eq!(stranger.get(&events).await?.status, 404);
        assert_eq!(stranger.environments().await?, 0);
        let opened = stranger.in_browser(Method::GET, "/open/shop/box/80").send().await?;
        assert_eq!(opened.status(), 404);
        let revoked = stranger.request(Method::DELETE, &format!("/tokens/{}", world.token)).send().await?;
        assert_eq!(revoked.status(), 404);
        let disabled = stranger.request(Method::PATCH, "/people/ann").json(&json!({ "disabled": true })).send().await?;
        assert!(matches!(disabled.status().as_u16(), 403 | 404));
    }
    assert_eq!(world.owner.get("/environments/shop").await?.body["state"], "ready", "it was left alone");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colleague_sees_the_environment_and_none_of_its_secrets() -> Outcome {
    let world = world().await?;
    let colleague = world.guests[2].get("/environments/shop").await?;
    assert_eq!(colleague.status, 200);
    assert!(!colleague.body.to_string().contains("canary-c4n4ry"), "{}", colleague.body);
    assert_eq!(colleague.body["actions"], json!([]));
    let owner = world.owner.get("/environments/shop").await?.body;
    assert_eq!(owner["parameters"]["password"], "***");
    let outputs = owner["outputs"].to_string();
    assert!(outputs.contains("canary-c4n4ry") && outputs.contains("\"sensitive\":true"), "{outputs}");
    Ok(())
}

/// The methods of the trait, from its source.
fn use_cases() -> BTreeSet<&'static str> {
    let source = include_str!("../../app/src/portal.rs");
    let body = source.split("pub trait Portal").nth(1).and_then(|rest| rest.split("\n}\n").next()).unwrap_or_default();
    body.split("async fn ").skip(1).filter_map(|rest| rest.split('(').next()).collect()
}
