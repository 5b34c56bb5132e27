//! Reading and ordering work before any script has arrived: plain pages, plain forms.

use reqwest::{Client, Response};
use tests::{Outcome, Portal};

const PASSWORD: &str = "a quiet corner by the window";

/// What a browser without scripts knows of a portal: addresses, cookies, forms.
struct Reader {
    http: Client,
    base: String,
    cookies: String,
}

impl Reader {
    async fn read(&self, path: &str) -> Outcome<String> {
        let page = self.http.get(format!("{}{path}", self.base)).header("cookie", &self.cookies).send().await?;
        Ok(page.error_for_status()?.text().await?)
    }

    /// Sends a page's form with its hidden fields and what was typed; where that leads.
    async fn send(&mut self, path: &str, page: &str, typed: &[(&str, &str)]) -> Outcome<String> {
        let mut fields = hidden_fields(page);
        fields.extend(typed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
        let request = self.http.post(format!("{}{path}", self.base)).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.header("cookie", &self.cookies).header("origin", &self.base).send().await?;
        self.keep_cookies(&answer);
        let status = answer.status();
        if !status.is_redirection() {
            return Err(format!("The form of {path} was answered {status}: {}", answer.text().await?).into());
        }
        let location = answer.headers().get("location").ok_or("a redirect to nowhere")?.to_str()?;
        Ok(location.trim_start_matches(&self.base).to_owned())
    }

    fn keep_cookies(&mut self, answer: &Response) {
        for cookie in answer.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
            self.cookies = format!("{cookie}; {}", self.cookies);
        }
    }
}

/// Names and values of `<input type="hidden">`.
fn hidden_fields(page: &str) -> Vec<(String, String)> {
    let attribute = |tag: &str, name: &str| -> Option<String> {
        let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
        Some(rest.split('"').next()?.to_owned())
    };
    let inputs = page.split("<input").skip(1).filter_map(|rest| rest.split('>').next());
    let hidden = inputs.filter(|tag| tag.contains("type=\"hidden\""));
    hidden.filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?))).collect()
}

#[tokio::test]
async fn a_person_whose_browser_runs_no_script_orders_reads_and_parks() -> Outcome {
    let portal = Portal::start().await?;
    let api = portal.administrator().await?;
    let body = serde_json::json!({ "name": "bea", "password": PASSWORD, "role": "user" });
    api.post("/people", body).await?.expect_success()?;
    let http = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
    let mut bea = Reader { http, base: portal.url(""), cookies: String::new() };

    let page = bea.read("/sign-in").await?;
    assert_eq!(bea.send("/sign-in", &page, &[("name", "bea"), ("password", PASSWORD)]).await?, "/");
    assert!(bea.read("/").await?.contains("href=\"/catalog/site\""));

    let page = bea.read("/catalog/site").await?;
    let typed = [("name", "plain"), ("parameters.heading", "On paper")];
    let tracking = bea.send("/catalog/site", &page, &typed).await?;
    assert_eq!(tracking, "/environments/plain");
    // The same form sent again, as a double click does, is the same order.
    assert_eq!(bea.send("/catalog/site", &page, &typed).await?, tracking);
    api.await_state("plain", "ready").await?;
    let shown = bea.read(&tracking).await?;
    for words in ["Ready", "Open the site", "is ready after", "Everything is healthy"] {
        assert!(shown.contains(words), "{words:?} is missing in {shown}");
    }
    assert!(bea.read("/environments").await?.contains("href=\"/environments/plain\""));
    bea.send(&tracking, "", &[("action", "park")]).await?;
    api.await_state("plain", "parked").await?;
    api.act("plain", "delete").await?;
    Ok(())
}
