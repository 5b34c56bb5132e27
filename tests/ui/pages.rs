//! Every page in every dress: on a phone and on a desk, in both themes. Nothing sticks out, no script complains, axe finds
//! nothing, and a picture of each is kept in `target/pictures/` for people to look at.

use serde_json::{Value, json};
use tests::{Api, Browser, Outcome, Portal, Setting};

const AXE: &str = include_str!("axe/axe.min.js");
const WIDTHS: [u32; 2] = [390, 1440];
const THEMES: [&str; 2] = ["light", "dark"];
/// How much of the window moved, how far, while the page came and its islands woke: the "cumulative layout shift".
const SHIFTED: &str = "const done = arguments[0]; let shifted = 0; const what = []; \
    new PerformanceObserver(seen => seen.getEntries().forEach(one => { shifted += one.value; \
        one.sources.forEach(source => what.push(`${source.node?.outerHTML?.slice(0, 160)}: \
            ${JSON.stringify(source.previousRect)} to ${JSON.stringify(source.currentRect)}`)); }))\
        .observe({ type: 'layout-shift', buffered: true }); \
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done([shifted, what]))))";
/// Nobody sees a hundredth of a window; 0.1 is what search engines still call good.
const SHIFTED_AT_MOST: f64 = 0.01;
const PASSWORD: &str = "a quiet corner by the window";

const DOOMED: &str = r#"name: doomed
version: "1.0.0"
title: Doomed
summary: Its set-up fails, so that its page has something to tell.
category: Trouble
servers:
  box:
    setup: |
      echo reading the list of guests
      cat /no/such/list
"#;

/// What curators write when nobody watches them: markup, another direction, signs of all planes, one endless word. `{RLO}`
/// becomes the sign that turns the direction around.
const ODD: &str = r#"name: odd
version: "1.0.0"
title: "<b>כותרת</b> 🧑‍🔬🚀 Äpfel, {RLO}שלום {RLO} and (parentheses"
summary: "<script>alert('x')</script> مرحبا بالعالم — a summary of two hundred characters, half of it the one word Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft &amp; more…"
category: "قسم & <i>Category</i> 🗂️ of 40 signs"
tags: [c++, a.very-long.tag-of+thirty-sig]
maintainer: "صيانة <maintainers@example.org> Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
featured: true
changes: "חדש: <u>everything</u> 🎉"
description: |
  مرحبا <img src=x onerror=alert(1)> **bold** 🧑‍🔬

  xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
parameters:
  said:
    type: string
    title: "שם <em>field</em> Donaudampfschifffahrtselektrizitätenhauptbetriebswerk"
    help: "עזרה: 300 🧾 DonaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaftDonaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft <a href=x>no link</a>"
    default: "قيمة <b>&amp;"
  pick:
    type: choice
    options: [{value: a, title: "ألف <b>"}, {value: b, title: "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesells"}]
    default: b
presets:
  one: {title: "مجموعة <b>one</b>", help: "הסבר 🧑‍🔬", values: {pick: a}}
servers:
  box:
    ports: [{port: 80, title: "فتح <b>Open</b> Donaudampfschifffahrtselektrizitätenhaup"}]
"#;

const PATIENT: &str = r#"name: patient
version: "1.0.0"
title: Patient
summary: Its first server is set up when somebody says so.
category: Trouble
servers:
  kitchen:
    setup: until test -e /tmp/go; do sleep 0.1; done
  table:
    needs: [kitchen]
"#;

const LONG_NAME: &str = "the-longest-name-an-environment-may-have";

#[tokio::test]
async fn every_page_is_whole_on_a_phone_and_on_a_desk_in_both_themes() -> Outcome {
    let portal = furnished().await?;
    let browser = Browser::open().await?;
    let link = portal.setup_link.as_ref().ok_or("The portal printed no link for the first administrator.")?;
    look(&browser, "setup", link).await?;
    browser.go(link).await?;
    browser.fill("name", "ada").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Create administrator").await?;
    browser.await_text("h1", "Catalog").await?;

    look(&browser, "environments-none", &portal.url("/environments")).await?;
    look(&browser, "activity-none", &portal.url("/activity")).await?;
    let api = portal.person("ada").await?;
    live(&portal, &api).await?;
    for (name, path) in [
        ("catalog", "/"),
        ("catalog-narrowed", "/?q=Python&tag=python&sort=most-ordered"),
        ("catalog-nothing-found", "/?q=no+such+thing"),
        ("template", "/catalog/site"),
        ("template-parameters", "/catalog/queue"),
        ("template-broken", "/catalog/broken"),
        ("template-odd", "/catalog/odd"),
        ("catalog-odd", "/?q=Donaudampf%20%3Cscript%3E"),
        ("template-last-order", "/catalog/queue?version=1.0.0"),
        ("template-preset", "/catalog/postgres-app?preset=private"),
        ("template-copy", "/catalog/site?version=1.0.0&from=reading-room&data=reading-room"),
        ("template-change", "/catalog/site?from=reading-room&change=reading-room"),
        ("template-nothing-kept", "/catalog/queue?from=nowhere&kept=true&parameters.workers=3"),
        ("environments", "/environments?view=table"),
        ("environments-cards", "/environments?view=cards&sort=state"),
        ("environments-ticked", "/environments?view=table&ticked=all&template=site"),
        ("environments-nothing", "/environments?search=no-such-thing"),
        ("environment-ready", "/environments/reading-room"),
        ("environment-under-way", "/environments/dinner"),
        ("environment-parked", format!("/environments/{LONG_NAME}").as_str()),
        ("environment-edit", format!("/environments/{LONG_NAME}/edit").as_str()),
        ("environment-failed", "/environments/lost"),
        ("snapshots", "/environments/reading-room/snapshots"),
        ("snapshots-none", "/environments/lost/snapshots"),
        ("snapshots-compared", "/environments/reading-room/snapshots/compare"),
        ("snapshots-compare-none", "/environments/lost/snapshots/compare"),
        ("files", "/environments/reading-room/files/site"),
        ("files-snapshot", "/environments/reading-room/files/site?path=held&snapshot=latest"),
        ("files-empty", "/environments/reading-room/files/site?path=held/empty"),
        ("files-none", "/environments/lost/files"),
        ("files-not-there", "/environments/reading-room/files/site?path=nowhere"),
        ("logs", "/environments/lost/logs"),
        ("logs-narrowed", "/environments/lost/logs?search=no&level=error"),
        ("logs-none", "/environments/reading-room/logs?search=nothing"),
        ("terminal", "/environments/reading-room/servers/web/terminal"),
        ("profile", "/profile"),
        ("people", "/people"),
        ("operator", "/operator"),
        ("activity", "/activity"),
        ("components", "/components"),
        ("api", "/api"),
        ("not-found", "/nothing-here"),
    ] {
        look(&browser, name, &portal.url(path)).await?;
    }
    browser.page.delete_all_cookies().await?;
    look(&browser, "sign-in", &portal.url("/sign-in")).await?;
    for environment in ["reading-room", LONG_NAME, "lost", "dinner"] {
        api.act(environment, "delete").await?;
    }
    Ok(())
}

/// A portal whose catalog has the starter templates, one that fails, and one that is no template.
async fn furnished() -> Outcome<Portal> {
    let templates = tempfile::Builder::new().prefix("bookend-test-templates-").tempdir()?;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../templates"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            std::fs::copy(&path, templates.path().join(path.file_name().ok_or("a file without a name")?))?;
        }
    }
    std::fs::write(templates.path().join("doomed.yaml"), DOOMED)?;
    std::fs::write(templates.path().join("odd.yaml"), ODD.replace("{RLO}", "\u{202e}"))?;
    std::fs::write(templates.path().join("patient.yaml"), PATIENT)?;
    std::fs::write(templates.path().join("broken.yaml"), "name: broken\nversion: \"1.0.0\"\ntitel: Broken\n")?;
    let folder = templates.path().to_str().ok_or("a path that is no text")?;
    Setting::new()?.options(&["--templates", folder]).start().await
}

/// Environments in the states that people stay with for a while.
async fn live(portal: &Portal, api: &Api) -> Outcome {
    for (template, name) in [("site", "reading-room"), ("scratch", "cellar"), ("doomed", "lost"), ("patient", "dinner")]
    {
        api.order(template, name).await?;
    }
    api.await_state("reading-room", "ready").await?;
    api.await_state("cellar", "ready").await?;
    api.act("cellar", "park").await?;
    api.await_state("cellar", "parked").await?;
    for (name, said) in [
        (
            "reading-room",
            json!({
                "tags": ["demo", "q3", "team:catalog"],
                "note": "For the **autumn demo**, until Friday.\n\n- sign in as `guest`\n- please do not park it",
            }),
        ),
        (
            "cellar",
            json!({
                "name": LONG_NAME,
                "tags": ["a-tag-as-long-as-a-tag-may-be-0123456789", "تجربة", "größe", "eu/west", "4", "5", "6", "7", "8", "9"],
                "note": "Anoteinonewordthatislongerthananythingthatfitsintoalineonaphone".repeat(4) + "\n\nשלום 🙂 <b>bold</b>",
            }),
        ),
    ] {
        api.send(reqwest::Method::PATCH, &format!("/environments/{name}"), Some(said)).await?.expect_success()?;
    }
    let held = "cd /site && mkdir -p held/empty && cd held && echo x > plain.txt && head -c 3000000 /dev/zero > large.bin && \
        ln -s /etc/passwd a-link && mkfifo a-pipe && echo x > 'שלום <b>bold' && echo x > 'new\nline' && \
        echo x > DonaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaftDonaudampfschifffahrt";
    portal.cli(api, &["exec", "reading-room/api", "--", "sh", "-c", held]).await?;
    for label in ["Before the demo", "Donaudampf <b>שלום</b>"] {
        api.post("/environments/reading-room/snapshots", json!({ "label": label })).await?.expect_success()?;
        let complete = |all: &Value| all[0]["label"] == label && all[0]["state"] == "complete";
        api.await_below("reading-room", "/snapshots", "complete", complete).await?;
    }
    let since = "cd /site/held && rm large.bin && echo more >> plain.txt && echo x > added.txt";
    portal.cli(api, &["exec", "reading-room/api", "--", "sh", "-c", since]).await?;
    api.await_state("dinner", "setting_up").await?;
    api.await_state("lost", "failed").await?;
    Ok(())
}

async fn look(browser: &Browser, name: &str, address: &str) -> Outcome {
    for theme in THEMES {
        for width in WIDTHS {
            let dressed = format!("{name}-{theme}-{width}");
            browser.dress(width, theme).await?;
            browser.go(address).await?;
            browser
                .await_script(
                    "return document.readyState === 'complete' && document.fonts.status === 'loaded' && \
                     (!document.querySelector('leptos-island') || 'live' in document.documentElement.dataset)",
                )
                .await?;
            browser.picture(&dressed).await?;
            let sticks_out = "const wide = document.documentElement.clientWidth; \
                return document.documentElement.scrollWidth <= wide ? [] : [...document.querySelectorAll('body *')] \
                .filter(one => one.getBoundingClientRect().right > wide + 1).map(one => one.outerHTML.slice(0, 120))";
            let sticks_out = browser.page.execute(sticks_out, Vec::new()).await?;
            assert_eq!(sticks_out, Value::Array(Vec::new()), "{dressed} is wider than the window");
            let moved = browser.page.execute_async(SHIFTED, Vec::new()).await?;
            let shifted = moved[0].as_f64().unwrap_or(f64::NAN);
            assert!(shifted <= SHIFTED_AT_MOST, "{dressed} moved while it came: {moved:#}");
            let found = accessibility(browser).await?;
            assert!(found.is_empty(), "{dressed}: {found:#?}");
            let complaints = browser.complaints().await?;
            // That the address itself is an error is what an error's page is about.
            let others: Vec<_> = complaints.iter().filter(|complaint| !complaint.starts_with(address)).collect();
            assert!(others.is_empty(), "{dressed}: {others:#?}");
        }
    }
    Ok(())
}

/// What axe finds wrong: the rule, and the things on the page that break it.
async fn accessibility(browser: &Browser) -> Outcome<Vec<String>> {
    let script = format!(
        "{AXE}; const done = arguments[arguments.length - 1]; \
         axe.run(document, {{ resultTypes: ['violations'] }}).then(found => done(found.violations.map(rule => \
         `${{rule.id}}: ${{rule.help}}: ${{rule.nodes.slice(0, 3).map(node => node.html).join(' ')}}`)), \
         error => done([String(error)]));"
    );
    let found = browser.page.execute_async(&script, Vec::new()).await?;
    Ok(found.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect())
}
