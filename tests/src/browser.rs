//! A real Chromium, driven as a person would: by what is visible on the page.

use std::fs;
use std::io::BufRead;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::{Outcome, leftovers, programs};

/// How long something may take to appear on a page. Only what never will lets a story wait so long.
const PATIENCE: Duration = Duration::from_secs(60);

const FLAGS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1440,1000",
];

pub struct Browser {
    pub page: Client,
    driver: Child,
    /// Profile of this browser alone.
    home: tempfile::TempDir,
}

impl Browser {
    pub async fn open() -> Outcome<Self> {
        let home = tempfile::Builder::new().prefix("bookend-browser-").tempdir()?;
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A group of its own, so that it and its browsers can be ended together.
            .process_group(0)
            .spawn()?;
        let port = read_port(&mut driver)?;
        let mut flags: Vec<String> = FLAGS.iter().map(|&flag| flag.to_owned()).collect();
        flags.push(format!("--user-data-dir={}", home.path().display()));
        let wanted = json!({
            "goog:chromeOptions": { "args": flags },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(wanted) = wanted else { unreachable!("an object was written just above") };
        let page = ClientBuilder::new(HttpConnector::new())
            .capabilities(wanted)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await?;
        Ok(Self { page, driver, home })
    }

    pub async fn go(&self, address: &str) -> Outcome {
        Ok(self.page.goto(address).await?)
    }

    /// Clicks the first visible thing that `css` names, once it is there.
    pub async fn click(&self, css: &str) -> Outcome {
        let element = self.visible(Locator::Css(css), css).await?;
        Ok(element.click().await?)
    }

    /// Clicks the button or link with exactly this text, once it is there.
    pub async fn press(&self, text: &str) -> Outcome {
        let path = format!("//*[(self::a or self::button or self::summary) and normalize-space(.)={}]", quoted(text));
        let element = self.visible(Locator::XPath(&path), text).await?;
        Ok(element.click().await?)
    }

    /// Types into the field of this name, instead of what is in it.
    pub async fn fill(&self, field: &str, text: &str) -> Outcome {
        let element = self.visible(Locator::Css(&format!("[name=\"{field}\"]")), field).await?;
        element.clear().await?;
        Ok(element.send_keys(text).await?)
    }

    /// Types into whatever has the focus.
    pub async fn type_keys(&self, text: &str) -> Outcome {
        Ok(self.page.active_element().await?.send_keys(text).await?)
    }

    /// Waits until `css` names something visible whose text contains `text`; without reloading the page.
    pub async fn await_text(&self, css: &str, text: &str) -> Outcome<String> {
        self.awaited(&format!("{text:?} in {css}"), async || {
            for element in self.page.find_all(Locator::Css(css)).await.unwrap_or_default() {
                let shown = element.text().await.unwrap_or_default();
                if shown.contains(text) {
                    return Some(shown);
                }
            }
            None
        })
        .await
    }

    /// Waits until the page's script says something other than `null` or `false`.
    pub async fn await_script(&self, script: &str) -> Outcome<Value> {
        self.awaited(script, async || {
            let said = self.page.execute(script, Vec::new()).await.ok()?;
            (said != Value::Null && said != Value::Bool(false)).then_some(said)
        })
        .await
    }

    /// Does something in a new tab, closes it, and comes back to the tab of before.
    pub async fn in_new_tab(&self, work: impl AsyncFnOnce() -> Outcome) -> Outcome {
        let before = self.page.window().await?;
        let tab = self.page.new_window(true).await?;
        self.page.switch_to_window(tab.handle).await?;
        work().await?;
        self.page.close_window().await?;
        Ok(self.page.switch_to_window(before).await?)
    }

    /// From now on the window is this wide, in CSS pixels, and people prefer this theme: `light` or `dark`.
    pub async fn dress(&self, width: u32, theme: &str) -> Outcome {
        let (phone, height) = (width < 600, if width < 600 { 844 } else { 1000 });
        let window = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        self.devtools("Emulation.setDeviceMetricsOverride", window).await?;
        let preference = json!({ "name": "prefers-color-scheme", "value": theme });
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": [preference] })).await
    }

    /// From now on pages are shown as on this medium (`screen`, `print`), and people prefer less motion, or not.
    pub async fn show_on(&self, medium: &str, less_motion: bool) -> Outcome {
        let motion = if less_motion { "reduce" } else { "no-preference" };
        let preference = json!({ "name": "prefers-reduced-motion", "value": motion });
        self.devtools("Emulation.setEmulatedMedia", json!({ "media": medium, "features": [preference] })).await
    }

    /// A command of the DevTools protocol, for what WebDriver knows nothing of.
    pub async fn devtools(&self, method: &'static str, parameters: Value) -> Outcome {
        self.page.issue_cmd(DevTools { method, parameters }).await?;
        Ok(())
    }

    /// Everything the page shows.
    pub async fn text(&self) -> Outcome<String> {
        Ok(self.page.find(Locator::Css("body")).await?.text().await?)
    }

    /// What the page's console has said since the last time, of level SEVERE: errors of scripts, refused or missing files.
    pub async fn complaints(&self) -> Outcome<Vec<String>> {
        let entries = self.page.issue_cmd(BrowserLog).await?;
        let severe = |entry: &&Value| entry["level"] == "SEVERE";
        let message = |entry: &Value| entry["message"].as_str().unwrap_or_default().to_owned();
        Ok(entries.as_array().into_iter().flatten().filter(severe).map(message).collect())
    }

    /// Writes a picture of what is visible now to `target/pictures/NAME.png`.
    pub async fn picture(&self, name: &str) -> Outcome {
        let folder = programs::pictures();
        fs::create_dir_all(&folder)?;
        // Not in the middle of what a moment before has changed, such as the theme.
        let finish =
            "document.getAnimations().filter(one => one instanceof CSSTransition).forEach(one => one.finish())";
        self.page.execute(finish, Vec::new()).await?;
        fs::write(folder.join(format!("{name}.png")), self.page.screenshot().await?)?;
        Ok(())
    }

    async fn visible(&self, locator: Locator<'_>, words: &str) -> Outcome<fantoccini::elements::Element> {
        self.awaited(words, async || {
            for element in self.page.find_all(locator).await.unwrap_or_default() {
                if element.is_displayed().await.unwrap_or(false) {
                    return Some(element);
                }
            }
            None
        })
        .await
    }

    /// A page changes without telling WebDriver: it has to be asked. On giving up, a picture says what was there instead.
    async fn awaited<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> Outcome<T> {
        let patience = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look().await {
                return Ok(found);
            }
            if Instant::now() > patience {
                let _ = self.picture("given-up").await;
                let address = self.page.current_url().await.map(String::from).unwrap_or_default();
                let shown = self.text().await.unwrap_or_default();
                let complaints = self.complaints().await.unwrap_or_default();
                return Err(
                    format!("{what} did not appear on {address}, which shows:\n{shown}\n{complaints:#?}").into()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.driver.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.driver.wait();
        leftovers::sweep(self.home.path());
    }
}

/// "ChromeDriver was started successfully on port N."
fn read_port(driver: &mut Child) -> Outcome<u16> {
    let output = driver.stdout.take().ok_or("chromedriver has no standard output")?;
    for line in std::io::BufReader::new(output).lines() {
        if let Some((_, port)) = line?.split_once("successfully on port ") {
            return Ok(port.trim_end_matches('.').parse()?);
        }
    }
    Err("chromedriver ended without saying its port".into())
}

/// As an XPath string: it knows no escapes, only two kinds of quotes.
fn quoted(text: &str) -> String {
    if text.contains('"') { format!("'{text}'") } else { format!("\"{text}\"") }
}

/// Chromium's own addition to WebDriver: entries of the console since they were last asked for.
#[derive(Debug)]
struct BrowserLog;

impl WebDriverCompatibleCommand for BrowserLog {
    fn endpoint(&self, base_url: &url::Url, session_id: Option<&str>) -> Result<url::Url, url::ParseError> {
        base_url.join(&format!("session/{}/se/log", session_id.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "type": "browser" }).to_string()))
    }
}

/// ChromeDriver's own addition to WebDriver: a command of the DevTools protocol.
#[derive(Debug)]
struct DevTools {
    method: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base_url: &url::Url, session_id: Option<&str>) -> Result<url::Url, url::ParseError> {
        base_url.join(&format!("session/{}/goog/cdp/execute", session_id.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "cmd": self.method, "params": self.parameters }).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every story relies on: that a page is really looked at, and that its errors are heard.
    #[tokio::test]
    async fn a_page_is_typed_into_pressed_and_heard_complaining() -> Outcome {
        let page = "data:text/html,<input name=who><button onclick=\"document.querySelector('p').textContent='Hello '\
            +document.querySelector('input').value;nothingOfTheKind()\">Greet</button><p>Nobody</p>";
        let browser = Browser::open().await?;
        browser.go(page).await?;
        browser.fill("who", "Ada").await?;
        browser.press("Greet").await?;
        assert_eq!(browser.await_text("p", "Hello").await?, "Hello Ada");
        let complaints = browser.complaints().await?;
        assert!(complaints.iter().any(|complaint| complaint.contains("nothingOfTheKind")), "{complaints:?}");
        Ok(())
    }
}
