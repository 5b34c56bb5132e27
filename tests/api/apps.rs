//! Apps behind ports, on hosts of their own.

use app::api::Role;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tests::house::Plan;
use tests::{Guest, House, Outcome};

/// An app that answers with the headers it got, sets cookies for wherever it can, and knows one redirect.
const APP: &str = r#"
name: echo
version: "1"
title: Echo
summary: Says what it heard.
category: Tests
servers:
  web:
    requires: [python3]
    startup: |
      cat > "$HOME/app.py" <<'PYTHON'
      import http.server, json
      class App(http.server.BaseHTTPRequestHandler):
          def do_GET(self):
              body = json.dumps({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
              self.send_response(200)
              self.send_header("Content-Type", "application/json")
              self.send_header("Content-Length", str(len(body)))
              self.send_header("Set-Cookie", "own=1; Domain=localhost; Path=/")
              self.send_header("Set-Cookie", "bookend_session=planted; Path=/")
              self.send_header("Clear-Site-Data", '"cookies"')
              self.send_header("Connection", "close, x-hop")
              self.send_header("X-Hop", "1")
              self.end_headers()
              self.wfile.write(body)
      http.server.ThreadingHTTPServer(("127.0.0.1", 8080), App).serve_forever()
      PYTHON
    services:
      app:
        command: python3 -u "$HOME/app.py"
    checks:
      page:
        http: {port: 8080}
        interval: 500ms
    ports:
      - {port: 8080, title: Open}
      - {port: 9999, title: Nothing}
"#;

async fn shop() -> Outcome<(House, Guest)> {
    let house = House::built(Plan { templates: vec![("echo.yaml", APP.to_string())], ..Plan::default() }).await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    ann.order("echo", "shop").await?;
    ann.api()?.await_state("shop", "ready").await?;
    Ok((house, ann))
}

/// A request to the app's host, by the address the portal really has.
fn at_app(house: &House, address: &str) -> Outcome<reqwest::RequestBuilder> {
    let url = url::Url::parse(address)?;
    let host = format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or_default());
    let path = &url[url::Position::BeforePath..];
    Ok(house.http.get(house.url(path)).header("host", host))
}

fn location(response: &reqwest::Response) -> Outcome<String> {
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    Ok(response.headers().get("location").ok_or("no location")?.to_str()?.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_button_leads_to_the_app_which_sees_nothing_of_the_portals() -> Outcome {
    let (house, ann) = shop().await?;
    let detail = ann.get("/environments/shop").await?.body;
    let button = detail["servers"][0]["ports"][0]["url"].as_str().ok_or("no button")?.to_string();
    let ticket = location(&ann.in_browser(Method::GET, &format!("{button}?path=/deep%3Fa=b")).send().await?)?;
    assert!(ticket.starts_with(&format!("http://8080--web--shop.localhost:{}/", house.address().port())), "{ticket}");

    let entered = at_app(&house, &ticket)?.send().await?;
    assert_eq!(location(&entered)?, "/deep?a=b");
    let cookie = entered.headers()["set-cookie"].to_str()?.to_string();
    assert!(cookie.contains("HttpOnly") && !cookie.to_lowercase().contains("domain"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap_or_default().to_string();
    let again = at_app(&house, &ticket)?.send().await?;
    assert!(again.headers().get("set-cookie").is_none(), "a ticket works once");

    let app = format!("http://8080--web--shop.localhost:{}/deep?a=b", house.address().port());
    let all = format!("{cookie}; {}; mine=1", ann.cookie());
    let answer = at_app(&house, &app)?.header("cookie", all).header("x-forwarded-for", "1.2.3.4").send().await?;
    assert_eq!(answer.status(), 200);
    let set: Vec<_> =
        answer.headers().get_all("set-cookie").iter().map(|set| set.to_str().unwrap_or_default()).collect();
    assert_eq!(set, ["own=1; Path=/"], "for its own host only, and none that is called like ours");
    for gone in ["clear-site-data", "x-hop"] {
        assert!(answer.headers().get(gone).is_none(), "{gone}");
    }
    let heard: Value = answer.json().await?;
    assert_eq!(heard["path"], "/deep?a=b");
    assert_eq!(heard["headers"]["cookie"], "mine=1");
    assert_eq!(heard["headers"]["x-forwarded-for"], "127.0.0.1");
    assert_eq!(heard["headers"]["x-forwarded-proto"], "http");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_an_app_is_one_persons_to_one_app_and_ends_with_the_session() -> Outcome {
    let (house, ann) = shop().await?;
    let port = house.address().port();
    let app = format!("http://8080--web--shop.localhost:{port}/");
    let stranger = at_app(&house, &app)?.header("accept", "text/html").send().await?;
    assert!(location(&stranger)?.ends_with("/open/shop/web/8080?path=%2F"));
    assert_eq!(at_app(&house, &app)?.send().await?.status(), 401);
    let unknown = house.http.get(house.url("/open/shop/web/8080")).header("accept", "text/html").send().await?;
    assert!(location(&unknown)?.starts_with("/sign-in?next=%2Fopen%2Fshop"));

    let ticket = location(&ann.in_browser(Method::GET, "/open/shop/web/8080").send().await?)?;
    let elsewhere = ticket.replace("8080--", "9999--");
    assert!(at_app(&house, &elsewhere)?.send().await?.headers().get("set-cookie").is_none(), "for another app");
    let entered = at_app(&house, &ticket)?.send().await?;
    let cookie = entered.headers()["set-cookie"].to_str()?.split(';').next().unwrap_or_default().to_string();
    let with = |address: String| {
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(at_app(&house, &address)?.header("cookie", cookie.clone()))
    };
    assert_eq!(with(app.clone())?.send().await?.status(), 200);
    let other = format!("http://9999--web--shop.localhost:{port}/");
    assert_eq!(with(other)?.send().await?.status(), 401, "the cookie opens one app");
    let origin = format!("http://8080--web--other.localhost:{port}");
    let posted = house.http.post(house.url("/")).header("host", format!("8080--web--shop.localhost:{port}"));
    let posted = posted.header("cookie", cookie.clone()).header("origin", origin).send().await?;
    assert_eq!(posted.status(), 403, "another app may not act in its name");

    assert_eq!(ann.in_browser(Method::DELETE, "/api/v1/session").send().await?.status(), 204);
    assert_eq!(with(app)?.send().await?.status(), 401);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_not_there_says_so_and_a_token_opens_apps_for_programs() -> Outcome {
    let (house, ann) = shop().await?;
    let ben = house.guest("default", "ben", Role::User).await?;
    let port = house.address().port();
    let nothing = at_app(&house, &format!("http://9999--web--shop.localhost:{port}/"))?;
    let nothing = nothing.bearer_auth(&ann.token).header("accept", "text/html").send().await?;
    assert!(nothing.status().as_u16() >= 409, "{}", nothing.status());
    assert!(nothing.text().await?.contains("Back to the environment"));
    let app = format!("http://8080--web--shop.localhost:{port}/");
    let heard: Value = at_app(&house, &app)?.bearer_auth(&ann.token).send().await?.json().await?;
    assert_eq!(heard["headers"].get("authorization"), None, "the token is not the app's to see");
    assert_eq!(at_app(&house, &app)?.bearer_auth(&ben.token).send().await?.status(), 403, "it is ann's");
    Ok(())
}

/// The old host may become another environment's: whoever still has a page of it open is led on, and nobody is let in.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_environments_apps_move_and_old_pages_lead_to_the_new_address() -> Outcome {
    let (house, ann) = shop().await?;
    let port = house.address().port();
    let ticket = location(&ann.in_browser(Method::GET, "/open/shop/web/8080").send().await?)?;
    let entered = at_app(&house, &ticket)?.send().await?;
    let cookie = entered.headers()["set-cookie"].to_str()?.split(';').next().unwrap_or_default().to_string();
    let old = format!("http://8080--web--shop.localhost:{port}/page?a=b");
    assert_eq!(at_app(&house, &old)?.header("cookie", &cookie).send().await?.status(), 200);

    let renamed = ann.request(Method::PATCH, "/environments/shop").json(&serde_json::json!({ "name": "store" }));
    assert_eq!(renamed.send().await?.status(), 200);
    assert_eq!(at_app(&house, &old)?.header("cookie", &cookie).send().await?.status(), 409, "no page: told so");
    let led = at_app(&house, &old)?.header("cookie", &cookie).header("accept", "text/html").send().await?;
    let open = url::Url::parse(&location(&led)?)?;
    let ticket = location(&ann.in_browser(Method::GET, &open[url::Position::BeforePath..]).send().await?)?;
    assert!(ticket.starts_with(&format!("http://8080--web--store.localhost:{port}/")), "{ticket}");
    let entered = at_app(&house, &ticket)?.send().await?;
    assert_eq!(location(&entered)?, "/page?a=b");

    // Whoever takes the old name takes its address, and the old cookie opens nothing there.
    ann.order("echo", "shop").await?;
    ann.api()?.await_state("shop", "ready").await?;
    let led = at_app(&house, &old)?.header("cookie", &cookie).header("accept", "text/html").send().await?;
    assert!(location(&led)?.contains("/open/"), "it has to come in by the portal");
    Ok(())
}
