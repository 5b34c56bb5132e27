//! The command line itself: what it accepts, and what it prints.

use clap::{CommandFactory, Parser};

use super::arguments::{Command, CommandLine, EnvironmentPath, PortPair, Since};
use super::client::portal_address;
use super::failure::{Failure, exit};
use super::output::{clean, for_terminal, table};

fn parse(line: &str) -> Result<CommandLine, String> {
    CommandLine::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())
}

#[test]
fn every_command_can_be_built_and_explains_itself() {
    CommandLine::command().debug_assert();
    fn walk(command: &clap::Command, path: &str) {
        assert!(command.get_about().is_some(), "{path} has no help");
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some() || argument.is_positional(),
                "{path} {} has no help",
                argument.get_id()
            );
        }
        command.get_subcommands().for_each(|inner| walk(inner, &format!("{path} {}", inner.get_name())));
    }
    walk(&CommandLine::command(), "bookend");
}

#[test]
fn wrong_input_is_refused_with_what_would_be_right() {
    for (line, told) in [
        ("bookend exec web -- true", "Write it as web/SERVER"),
        ("bookend exec a/b/c -- true", "write it as ENV/SERVER"),
        ("bookend exec /b -- true", "write it as ENV/SERVER"),
        ("bookend exec a/b", "<CMD>"),
        ("bookend exec a/b true", "--"),
        ("bookend order x --set novalue", "write it as NAME=VALUE"),
        ("bookend order x --timeout 5", "--wait"),
        ("bookend forward a/b 0", "0 is no port"),
        ("bookend forward a/b 70000", "`70000` is no port"),
        ("bookend forward a/b 80:x", "`x` is no port"),
        ("bookend logs a -n 99999", "99999 is not in 0..=10000"),
        ("bookend logs a --since yesterday", "write it as 10m"),
        ("bookend logs a --level loud", "error, warn, info, debug"),
        ("bookend delet x", "delete"),
        ("bookend completions tcsh", "possible values"),
    ] {
        let error = parse(line).expect_err(line);
        assert!(error.contains(told), "{line}: {error}");
    }
}

#[test]
fn a_time_is_a_moment_or_how_long_ago_it_was() {
    let now = "2026-11-21T10:00:00Z".parse().unwrap();
    let since = |text: &str| text.parse::<Since>().unwrap().before(now);
    assert_eq!(since("2026-11-21T09:00:00Z"), since("1h"));
    assert_eq!(since("1d"), since("24h"));
    assert_eq!(since("1h 30m"), since("90m"));
}

#[test]
fn a_commands_own_words_are_not_ours() {
    let line = parse("bookend exec demo/web -- ls --json -la").unwrap();
    assert!(!line.json);
    let Command::Exec(exec) = line.command else { panic!("exec") };
    assert_eq!(exec.command, ["ls", "--json", "-la"]);
    let line = parse("bookend order x --set a=b=c --set empty=").unwrap();
    let Command::Order(order) = line.command else { panic!("order") };
    assert_eq!((order.set[0].value.as_str(), order.set[1].value.as_str()), ("b=c", ""));
    assert_eq!("8080:0".parse(), Ok(PortPair { remote: 8080, local: 0 }));
    assert_eq!("demo".parse(), Ok(EnvironmentPath { environment: "demo".into(), server: None }));
}

/// Attack 20: what others named cannot write to the terminal of who lists it.
#[test]
fn attack_20_names_cannot_move_a_cursor_or_forge_a_line() {
    assert_eq!(clean("a\u{1b}[2Jb\nc\rd\u{9b}31m"), "a\\u{1b}[2Jb\\u{a}c\\u{d}d\\u{9b}31m");
    assert_eq!(clean("safe\u{202e}cod.exe"), "safe\\u{202e}cod.exe");
    let shown = table(&["NAME", "STATE"], &[vec!["x\ny".into(), "ready".into()]]);
    assert_eq!(shown, "NAME     STATE\nx\\u{a}y  ready\n");
}

/// Attack 15, on the command line: colours of a log are harmless, everything else a terminal obeys is not.
#[test]
fn attack_15_log_lines_keep_their_colours_and_lose_what_commands_a_terminal() {
    let shown = |text: &str| for_terminal(text);
    assert_eq!(shown("plain\ttext"), "plain\ttext");
    assert_eq!(shown("\u{1b}[1;31mred\u{1b}[0m"), "\u{1b}[1;31mred\u{1b}[0m\u{1b}[0m");
    assert_eq!(shown("\u{1b}[31mred"), "\u{1b}[31mred\u{1b}[0m", "colour ends with the line");
    for hostile in [
        "\u{1b}]0;title\u{7}",
        "\u{1b}]52;c;aGk=\u{1b}\\",
        "\u{1b}[2J",
        "\u{1b}[6n",
        "\u{1b}[?1049h",
        "\u{1b}c",
        "\u{1b}P+q\u{1b}\\",
        "\u{9b}2J",
        "\u{7}\u{8}\r",
        "\u{1b}]0;never ended",
        "\u{1b}[",
        "\u{1b}",
    ] {
        let left = shown(&format!("a{hostile}"));
        assert!(!left.contains('\u{1b}') && !left.chars().any(char::is_control), "{hostile:?} left {left:?}");
        assert!(left.starts_with('a'));
    }
}

#[test]
fn a_portals_address_is_a_web_address_without_a_persons_secrets() {
    for wrong in ["portal", "ftp://a", "http://", "http://u:p@a", "http://a/?x=1", "http://a#b", "javascript:alert(1)"]
    {
        let Err(failure) = portal_address(wrong) else { panic!("{wrong} was accepted") };
        assert_eq!(failure.exit, exit::USAGE);
    }
    assert_eq!(portal_address("https://a.example/x/").unwrap().as_str(), "https://a.example/x");
}

#[test]
fn exit_codes_are_the_documented_ones() {
    use app::api::ApiError;
    let code = |error: ApiError| Failure::from(error).exit;
    assert_eq!(code(ApiError::not_found("environment", "x")), exit::NOT_FOUND);
    assert_eq!(code(ApiError::unauthenticated()), exit::NOT_SIGNED_IN);
    assert_eq!(code(ApiError::conflict("no")), exit::REFUSED);
    assert_eq!(code(ApiError::forbidden("no")), exit::REFUSED);
    assert_eq!(code(ApiError::field("name", "no")), exit::REFUSED);
    assert_eq!(code(ApiError::too_many("no")), exit::REFUSED);
    assert_eq!(code(ApiError::unavailable("no")), exit::UNREACHABLE);
    assert_eq!(code(ApiError::internal()), exit::FAILED);
}
