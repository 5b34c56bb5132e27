//! What the program says about itself.

use std::process::Command;

use tests::programs;

fn help_of(path: &[&str]) -> String {
    let output = Command::new(programs::bookend()).args(path).arg("--help").output().expect("the program starts");
    assert!(output.status.success(), "{path:?}");
    String::from_utf8(output.stdout).expect("help is text")
}

#[test]
fn every_command_has_help_with_usage() {
    let commands = [
        "serve",
        "login",
        "catalog",
        "order",
        "list",
        "show",
        "exec",
        "logs",
        "forward",
        "park",
        "resume",
        "restart",
        "edit",
        "change",
        "snapshot",
        "cp",
        "restore",
        "clone",
        "undelete",
        "delete",
        "retry",
        "cancel",
        "force",
        "completions",
    ];
    let top = help_of(&[]);
    for command in commands {
        assert!(top.contains(&format!("\n  {command} ")), "{command} is in the list of commands");
        assert!(help_of(&[command]).contains(&format!("Usage: bookend {command}")), "{command}");
    }
    for (command, nested) in [
        ("token", &["create", "list", "revoke"][..]),
        ("template", &["lint", "plan"]),
        ("doctor", &["ec2"]),
        (
            "snapshot",
            &["create", "list", "show", "label", "verify", "diff", "delete", "pin", "unpin", "export", "import"],
        ),
    ] {
        for nested in nested {
            let help = help_of(&[command, nested]);
            assert!(help.contains(&format!("Usage: bookend {command} {nested}")), "{command} {nested}");
        }
    }
    assert!(top.contains("Exit codes:"), "scripts find the exit codes");
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output =
            Command::new(programs::bookend()).args(["completions", shell]).output().expect("the program starts");
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("COMPLETE"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_crash() {
    let line = format!("{} template schema | head -c 1; echo \" ${{PIPESTATUS[0]}}\"", programs::bookend().display());
    let output = Command::new("bash").args(["-c", &line]).output().expect("bash runs");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(["{ 0\n", "{ 141\n"].contains(&out.as_str()), "{out}");
}
