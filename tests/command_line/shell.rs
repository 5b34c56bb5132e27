//! What a shell has to do with it: signing in, a terminal of one's own, completions.

use std::process::Stdio;

use tests::{Outcome, Portal};
use tokio::io::AsyncWriteExt;

use super::{Person, Ran};

const PASSWORD: &str = "a quiet corner by the window";

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_with_a_password_is_known_from_then_on() -> Outcome {
    let portal = Portal::start().await?;
    let ann = Person::at(&portal).await?;
    let body = serde_json::json!({ "name": "bea", "password": PASSWORD, "role": "user" });
    ann.api.post("/people", body).await?.expect_success()?;
    let home = tempfile::tempdir()?;
    let run = async |words: &[&str], input: &str| -> Outcome<Ran> {
        let mut command = portal.client_command(&ann.api, words);
        command.env_remove("BOOKEND_URL").env_remove("BOOKEND_TOKEN").env("XDG_CONFIG_HOME", home.path());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = process.stdin.take().ok_or("no standard input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        Ok(Ran::of(process.wait_with_output().await?))
    };
    let address = portal.url("");
    run(&["login", &address, "--user", "bea"], "not her password\n").await?.ended_with(5);
    assert!(!home.path().join("bookend").exists(), "nothing is kept of what did not work");

    let signed_in = run(&["login", &address, "--user", "bea"], &format!("{PASSWORD}\n")).await?.ended_with(0);
    assert!(signed_in.out.contains("as bea"), "{}", signed_in.out);
    assert!(!signed_in.out.contains("bkd_") && !signed_in.err.contains("bkd_"), "the token is shown to nobody");
    run(&["list"], "").await?.ended_with(0);
    let kept = home.path().join("bookend");
    for file in std::fs::read_dir(kept)? {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(file?.metadata()?.permissions().mode() & 0o077, 0, "others cannot read the token");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_a_terminal_has_its_size_and_its_keys() -> Outcome {
    let portal = Portal::start().await?;
    let ann = Person::at(&portal).await?;
    ann.runs("order scratch --name t --wait").await?.ended_with(0);
    let bookend = tests::programs::bookend();
    // `script` gives the command a terminal; Ctrl-C must reach the program on the server, not this command.
    let inside = format!(
        "stty cols 77 rows 21; {0} exec t/box -- stty size; {0} exec t/box -- sh -c \
         'trap \"echo interrupted; exit 9\" INT; echo waiting; while :; do sleep 0.01; done'; echo ended with $?",
        bookend.display()
    );
    let mut command = tokio::process::Command::new("script");
    command.args(["--quiet", "--return", "--flush", "--command", &inside, "/dev/null"]);
    command.env("BOOKEND_URL", portal.url("")).env("BOOKEND_TOKEN", ann.api.token()).kill_on_drop(true);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut keyboard = process.stdin.take().ok_or("no keyboard")?;
    let mut screen = process.stdout.take().ok_or("no screen")?;
    let mut shown = String::new();
    let mut pressed = false;
    let mut buffer = [0; 4096];
    loop {
        let length = tokio::io::AsyncReadExt::read(&mut screen, &mut buffer).await?;
        if length == 0 {
            break;
        }
        shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
        if !pressed && shown.contains("waiting") {
            keyboard.write_all(b"\x03").await?;
            pressed = true;
        }
    }
    assert!(shown.contains("21 77"), "{shown}");
    assert!(shown.contains("interrupted") && shown.contains("ended with 9"), "{shown}");
    ann.runs("delete t --yes --wait").await?.ended_with(0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_complete_as_they_are_typed() -> Outcome {
    let portal = Portal::start().await?;
    let ann = Person::at(&portal).await?;
    ann.runs("order site --name shelf --wait").await?.ended_with(0);
    let completed = async |words: &[&str]| -> Outcome<Vec<String>> {
        let mut command = portal.client_command(&ann.api, &[&["--", "bookend"], words].concat());
        // As bash asks, by the script that `bookend completions bash` prints.
        let index = words.len().to_string();
        command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", index).env("_CLAP_IFS", "\n");
        let ran = Ran::of(command.output().await?).ended_with(0);
        Ok(ran.out.lines().map(|line| line.trim().to_owned()).collect())
    };
    assert_eq!(completed(&["show", "sh"]).await?, ["shelf"]);
    assert_eq!(completed(&["exec", "shelf/"]).await?, ["shelf/api", "shelf/web"]);
    assert_eq!(completed(&["order", "sc"]).await?, ["scratch"]);
    assert_eq!(completed(&["pa"]).await?, ["park"]);
    ann.runs("delete shelf --yes --wait").await?.ended_with(0);
    Ok(())
}
