//! Attack 11: another site has the browser change something. Islands ask the REST API, so it has all mutations there are,
//! beside the forms.

use app::api::Role;
use reqwest::Method;
use serde_json::Value;
use tests::{House, Outcome};

#[tokio::test(flavor = "multi_thread")]
async fn no_mutation_is_taken_from_another_site() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::Administrator).await?;
    ann.order("scratch", "box").await?;
    let mutations = mutations(&house).await?;
    let own = house.origin();
    let port = house.address().port();
    let neighbour = format!("http://127.0.0.1:{}", port.wrapping_add(1));
    let app = format!("http://8080--web--box.localhost:{port}");
    let longer = format!("{own}.evil.example");
    let foreign: [Option<&str>; 7] =
        [None, Some("null"), Some("https://evil.example"), Some(&neighbour), Some(&app), Some(&longer), Some("")];
    for (method, path) in &mutations {
        for origin in foreign {
            for kind in ["application/json", "application/x-www-form-urlencoded", "text/plain"] {
                let mut request = house.http.request(method.clone(), house.url(path));
                request = request.header("cookie", ann.cookie()).header("content-type", kind).body("{}");
                if let Some(origin) = origin {
                    request = request.header("origin", origin);
                }
                assert_eq!(request.send().await?.status(), 403, "{method} {path} from {origin:?} as {kind}");
            }
        }
        let fetched = house.http.request(method.clone(), house.url(path)).header("cookie", ann.cookie());
        let fetched = fetched.header("origin", &own).header("sec-fetch-site", "cross-site").send().await?;
        assert_eq!(fetched.status(), 403, "{method} {path}, whatever it says of its origin");
        let ours =
            ann.in_browser(method.clone(), path).header("content-type", "application/json").body("[").send().await?;
        assert_ne!(ours.status(), 403, "{method} {path} from our own page");
    }
    Ok(())
}

/// A session that another site began for the visitor would have them work in somebody else's name.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_signed_in_by_another_site() -> Outcome {
    let house = House::open().await?;
    for path in ["/api/v1/session", "/sign-in", "/api/v1/setup/x", "/setup/x"] {
        let request =
            house.http.post(house.url(path)).header("origin", "https://evil.example").body("name=eve&password=x");
        assert_eq!(request.send().await?.status(), 403, "{path}");
    }
    Ok(())
}

/// A name of another site that was rebound to this address.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebound_name_reaches_nothing() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    for path in ["/", "/api/v1/me", "/api/v1/openapi.json", "/pkg/app.js"] {
        let request = house.http.get(house.url(path)).header("host", "evil.example").header("cookie", ann.cookie());
        let answer = request.send().await?;
        assert_eq!(answer.status(), 421, "{path}");
    }
    Ok(())
}

/// Every operation of the API that is no reading, and every form of the pages.
async fn mutations(house: &House) -> Outcome<Vec<(Method, String)>> {
    let spec: Value = house.http.get(house.url("/api/v1/openapi.json")).send().await?.json().await?;
    let mut found = Vec::new();
    for (path, item) in spec["paths"].as_object().into_iter().flatten() {
        for method in item.as_object().into_iter().flatten().map(|(method, _)| method.to_uppercase()) {
            if method != "GET" {
                let path = path.replace("{environment}", "box").replace("{action}", "delete").replace("{name}", "ann");
                found.push((method.parse()?, path.replace(['{', '}'], "x")));
            }
        }
    }
    assert!(found.len() >= 8, "only {} mutations in the description", found.len());
    let forms = ["/catalog/scratch", "/environments/box", "/profile", "/people", "/setup/x", "/sign-in", "/theme"];
    // Signing out comes last: it would end the session.
    let pages = forms.iter().map(|path| (Method::POST, path.to_string()));
    found.sort_by_key(|(_, path): &(Method, String)| path.ends_with("/session"));
    let session_last = found.iter().position(|(_, path)| path.ends_with("/session")).unwrap_or(found.len());
    let at_the_end = found.split_off(session_last);
    found.extend(pages);
    found.extend(at_the_end.into_iter().filter(|(method, _)| *method == Method::POST));
    Ok(found)
}
