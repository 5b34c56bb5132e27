//! Commands, terminals and ports as a person reaches them through the portal.

use super::*;

#[tokio::test]
async fn exec_passes_arguments_untouched_and_streams_and_the_exit_code_back() {
    let story = Story::begin().await;
    let mut stream = story.exec(&["printf", "%s|", "$(id)", "a b", "'"], None).await;
    let (out, _, last) = finish(&mut stream).await;
    assert_eq!((out.as_str(), last), ("$(id)|a b|'|", Frame::new(Kind::Exit, "0")));

    let mut stream = story.exec(&["sh", "-c", "cat; echo oops >&2; exit 9"], None).await;
    stream.send(Frame::new(Kind::Stdin, "typed")).await.unwrap();
    stream.send(Frame::new(Kind::StdinEnd, "")).await.unwrap();
    let (out, err, last) = finish(&mut stream).await;
    assert_eq!((out.as_str(), err.as_str(), last), ("typed", "oops\n", Frame::new(Kind::Exit, "9")));

    let mut stream = story.exec(&["sh", "-c", "kill -TERM $$"], None).await;
    assert_eq!(finish(&mut stream).await.2, Frame::new(Kind::Exit, "143"));

    let mut stream = story.exec(&["no-such-command"], None).await;
    let last = finish(&mut stream).await.2;
    assert_eq!(last.kind, Kind::Error);
    assert!(String::from_utf8_lossy(&last.payload).contains("no-such-command"));
}

#[tokio::test]
async fn exec_gives_all_output_of_a_command_however_much_it_is() {
    let story = Story::begin().await;
    let mut stream = story.exec(&["sh", "-c", "head -c 3000000 /dev/zero; sleep 1000 & echo"], None).await;
    let (out, _, last) = finish(&mut stream).await;
    assert_eq!((out.len(), last), (3_000_001, Frame::new(Kind::Exit, "0")));
}

#[tokio::test]
async fn exec_with_a_terminal_has_its_size_and_follows_it() {
    let story = Story::begin().await;
    let mut stream =
        story.exec(&["sh", "-c", "stty size; read line; stty size"], Some(Size { cols: 91, rows: 17 })).await;
    read_until(&mut stream, "17 91").await;
    let size = serde_json::to_vec(&Size { cols: 60, rows: 20 }).unwrap();
    stream.send(Frame::new(Kind::Resize, size)).await.unwrap();
    stream.send(Frame::new(Kind::Stdin, "\n")).await.unwrap();
    let (out, _, last) = finish(&mut stream).await;
    assert!(out.contains("20 60"), "{out:?}");
    assert_eq!(last, Frame::new(Kind::Exit, "0"));
}

#[tokio::test]
async fn a_command_whose_person_went_away_is_ended_with_all_it_started() {
    let story = Story::begin().await;
    let mut stream = story.exec(&["sh", "-c", "sleep 1000 & echo $!; wait"], None).await;
    let pid = read_until(&mut stream, "\n").await;
    drop(stream);
    until_dead(&pid).await;
}

#[tokio::test]
async fn a_terminal_keeps_its_screen_when_the_portal_restarts_and_ends_with_its_shell() {
    let mut story = Story::begin().await;
    let path = "/v1/terminal?session=a-1&cols=80&rows=24";
    let mut stream = story.open(path).await.unwrap();
    stream.send(Frame::new(Kind::Stdin, "place=kept; echo the-$place-screen\n")).await.unwrap();
    read_until(&mut stream, "the-kept-screen").await;
    drop(stream);
    story.portal.close();
    story.portal = link(story.router.clone()).await;
    let mut stream = story.open(path).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!(first.kind, Kind::Replay);
    assert!(String::from_utf8_lossy(&first.payload).contains("the-kept-screen"), "{first:?}");
    stream.send(Frame::new(Kind::Stdin, "echo again-$place; exit 4\n")).await.unwrap();
    let (out, _, last) = finish(&mut stream).await;
    assert!(out.contains("again-kept"), "{out:?}");
    assert_eq!(last, Frame::new(Kind::Exit, "4"));
    let mut fresh = story.open(path).await.unwrap();
    fresh.send(Frame::new(Kind::Stdin, "echo fresh-${place:-empty}\n")).await.unwrap();
    read_until(&mut fresh, "fresh-empty").await;
}

#[tokio::test]
async fn a_terminal_that_is_hung_up_takes_what_runs_in_it_along() {
    let story = Story::begin().await;
    let mut stream = story.open("/v1/terminal?session=gone&cols=80&rows=24").await.unwrap();
    let pid = story.path("pid");
    let command = format!("sh -c 'echo $$ > {pid}; echo r\"\"unning; exec sleep 600'\n");
    stream.send(Frame::new(Kind::Stdin, command)).await.unwrap();
    read_until(&mut stream, "running").await;
    stream.send(Frame::new(Kind::StdinEnd, Bytes::new())).await.unwrap();
    finish(&mut stream).await;
    until_dead(&std::fs::read_to_string(pid).unwrap()).await;
}

#[test]
fn what_the_agent_was_told_to_ignore_its_terminals_heed_all_the_same() {
    // As behind `nohup`, in the background of a script.
    let ignoring = r#"trap '' HUP INT QUIT; exec "$0" --exact "$1""#;
    let story = "run::tests::reach::a_terminal_that_is_hung_up_takes_what_runs_in_it_along";
    let mut command = std::process::Command::new("timeout");
    let run =
        command.args(["60", "sh", "-c", ignoring]).arg(std::env::current_exe().unwrap()).arg(story).output().unwrap();
    assert!(String::from_utf8_lossy(&run.stdout).contains("1 passed"), "{run:?}");
}

#[tokio::test]
async fn a_replay_that_lost_its_beginning_begins_with_a_whole_line() {
    let story = Story::begin().await;
    let path = "/v1/terminal?session=long&cols=80&rows=24";
    let mut stream = story.open(path).await.unwrap();
    let command = "seq -f 'line %.0f of many' 1 40000; echo all-w''ritten\n";
    stream.send(Frame::new(Kind::Stdin, command)).await.unwrap();
    read_until(&mut stream, "all-written").await;
    drop(stream);
    let mut stream = story.open(path).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert!(first.payload.starts_with(b"line "), "{:?}", first.payload.slice(..40));
}

#[tokio::test]
async fn terminals_nobody_watches_make_room_and_watched_ones_do_not() {
    let story = Story::begin().await;
    let path = |number: usize| format!("/v1/terminal?session=s{number}&cols=80&rows=24");
    let mut open = Vec::new();
    for number in 0..16 {
        let mut stream = story.open(&path(number)).await.unwrap();
        stream.send(Frame::new(Kind::Stdin, "echo r''eady\n")).await.unwrap();
        read_until(&mut stream, "ready").await;
        open.push(stream);
    }
    assert!(matches!(
        story.open(&path(16)).await,
        Err(UpgradeError::Declined { status: StatusCode::SERVICE_UNAVAILABLE, .. })
    ));
    open.truncate(15);
    while story.open(&path(16)).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert!(story.open("/v1/terminal?session=../x&cols=80&rows=24").await.is_err());
}

#[tokio::test]
async fn a_port_is_raw_bytes_to_the_servers_loopback_and_a_silent_port_says_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        all.reverse();
        stream.write_all(&all).await.unwrap();
    });
    let story = Story::begin().await;
    let mut stream = story.portal.upgrade(Request::get(format!("/v1/port/{port}"))).await.unwrap();
    stream.write_all(b"abc\0\xff").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"\xff\0cba");
    let Err(UpgradeError::Declined { message, .. }) =
        story.portal.upgrade(Request::get(format!("/v1/port/{port}"))).await
    else {
        panic!("nobody listens any more")
    };
    assert_eq!(message, format!("nothing listens on port {port} of this server"));
}
