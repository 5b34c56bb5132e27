//! What people are told of a new version.

use super::differences;
use crate::domain::template::tests::{WHOLE, good, whole};

/// The template that uses everything, with these pieces of its text replaced by others.
fn after(edits: &[(&str, &str)]) -> Vec<String> {
    let mut source = WHOLE.to_owned();
    for (old, new) in edits {
        assert!(source.contains(old), "{old:?} is not in the template");
        source = source.replacen(old, new, 1);
    }
    differences(&whole(), &good(&source))
}

#[test]
fn the_same_template_under_another_version_changes_nothing() {
    assert_eq!(after(&[("version: \"2.1\"", "version: \"2.2\"")]), Vec::<String>::new());
}

#[test]
fn what_becomes_of_servers_is_told() {
    let edits = [
        ("image: {local: registry.example.org/team/web:1.2}", "image: {local: registry.example.org/team/web:1.3}"),
        ("    internet: true\n", ""),
        ("needs: [db, worker]", "needs: [worker]"),
        ("restart: on-failure", "restart: never"),
        ("      open: {tcp: 8080}\n", ""),
        ("startup: echo up", "startup: echo up and about"),
        ("{port: 8080, title: Open the app, path: /admin}", "{port: 8080, title: The app}"),
        ("size: {cpu: 0.5, memory: 512 MiB}", "size: {cpu: 2, memory: 1 GiB}"),
        ("    count: ${parameters.workers}\n", ""),
        ("${servers.worker.addresses}", "${servers.worker.address}"),
    ];
    assert_eq!(
        after(&edits),
        [
            "Server web: image registry.example.org/team/web:1.3 instead of registry.example.org/team/web:1.2; \
             no longer reaches the internet; no longer needs db; new port 8080 (The app); without port 8080 (Open the app); \
             another start-up script; service app changed; without check open; other variables",
            "Server worker: count 1 instead of chosen by `workers`",
            "Server db: size 2 CPU and 1 GiB instead of 0.5 CPU and 512 MiB",
        ]
    );
}

#[test]
fn what_comes_and_goes_is_told_by_its_name() {
    let edits = [
        ("  own:\n    size: 64 MiB\n    mounts: {worker: /own}\n    per_server: true\n", ""),
        ("    size: 1 GiB\n    mounts: {web: /data, db: /var/lib/data}", "    size: 2 GiB\n    mounts: {web: /data}"),
        ("  address: {title: Address,", "  place: {title: Place,"),
        ("  park: 0 19 * * MON-FRI\n", "  park: 0 20 * * MON-FRI\n"),
        ("servers:\n  web:", "servers:\n  cache: {}\n  web:"),
        ("title: Everything", "title: All of it"),
    ];
    assert_eq!(
        after(&edits),
        [
            "New server cache",
            "Volume shared: size 2 GiB instead of 1 GiB; now on web at /data",
            "Volume own is gone",
            "New output “Place”",
            "Output “Address” is gone",
            "Now parked at 20:00 on weekdays (Europe/Berlin)",
            "No longer parked at 19:00 on weekdays (Europe/Berlin)",
            "Another title",
        ]
    );
}

#[test]
fn what_the_form_asks_anew_or_otherwise_is_told() {
    let edits = [
        ("    default: Hello\n", ""),
        ("  motd: {type: string, multiline: true, default: \"\"}\n", ""),
        ("{type: integer, min: 1, max: 4, default: 2}", "{type: integer, min: 1, max: 9, default: 3, title: Hands}"),
        ("      - {value: large, title: Large and dear}", "      - large\n      - tiny"),
        ("  password:\n    type: secret", "  team: {type: string}\n  password:\n    type: secret"),
    ];
    assert_eq!(
        after(&edits),
        [
            "Field “What it says”: needs an answer now",
            "Field “Hands”: was called “Workers”; from 1 to 9; starts as “3”",
            "Field “Machine”: new choice “large”; new choice “tiny”; without the choice “Large and dear”",
            "New field “Team”",
            "Field “Motd” is gone",
        ]
    );
}
