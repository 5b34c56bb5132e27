//! Whoever writes a template wrongly is told everything at once: where, which key, and what would be right.

use insta::assert_snapshot;

use super::{good, minimal, wrong};

#[test]
fn another_way_to_park_is_told_with_those_there_are() {
    let told = wrong(&minimal("park: sleep\nservers: {box: {}}\n"));
    assert_eq!(
        told.trim_end(),
        "template.yaml:6:7: park: `sleep` should be one of `volumes` (servers go, volumes stay), `snapshot` \
         (volumes go, too, into one), `stop` and `hibernate` \
         (servers stay, stopped)"
    );
}

#[test]
fn every_mistake_of_a_file_is_told_at_once() {
    assert_snapshot!(wrong(include_str!("mistakes.yaml")));
}

#[test]
fn what_is_missing_is_named() {
    assert_snapshot!(wrong("{}"));
    assert_snapshot!(wrong("parameters: {}\nservers: {}\n"));
}

#[test]
fn what_is_no_yaml_or_no_template_is_told_with_its_place() {
    let samples = [
        "",
        "# only a comment\n",
        "just a text",
        "- a\n- list\n",
        "name: [unclosed\n",
        "name: \"unclosed\n",
        "\tname: tab\n",
        "name: a\n---\nname: b\n",
        "%YAML 1.2\n---\nname: a\n",
        "? [a, b]\n: c\n",
        "name: a\u{0}b\n",
        "{a: {b: {c: {d: {e: {f: {g: {h: {i: {j: {k: {l: {m: {n: {o: {p: {q: {r: 1}}}}}}}}}}}}}}}}}}",
    ];
    let told: Vec<String> =
        samples.iter().map(|sample| format!("{sample:?}\n{}", first_line(&wrong(sample)))).collect();
    assert_snapshot!(told.join("\n\n"));
}

/// Attack 18: a key given twice, or brought in by a merge, must not override what a reader sees first.
#[test]
fn attack_18_nothing_overrides_what_stands_above() {
    assert_snapshot!(wrong(&minimal("tags: [a]\ntags: [b]\n")));
    assert_snapshot!(wrong(&minimal("servers:\n  box: {internet: false, internet: true}\n")));
    assert_snapshot!(wrong(&minimal("servers:\n  base: &base {internet: true}\n  box:\n    <<: *base\n")));
    assert_snapshot!(wrong(&minimal("servers:\n  box: {internet: !!bool true, image: !include /etc/passwd}\n")));
}

#[test]
fn what_is_taken_back_at_any_time_cannot_stand_by() {
    let told = wrong(&minimal("park: hibernate\nservers:\n  box: {spot: true}\n"));
    assert_eq!(
        first_line(&told),
        "template.yaml:6:7: park: `hibernate` needs servers that stay, and `box` is a spot server"
    );
}

#[test]
fn a_kind_of_processor_that_nobody_has_is_told_with_those_there_are() {
    let told = wrong(&minimal("servers:\n  box: {architecture: sparc}\n"));
    let kinds = "`sparc` should be `x86_64` or `arm64`";
    assert!(first_line(&told).ends_with(&format!("servers.box.architecture: {kinds}")), "{told}");
    let told = wrong(&minimal("servers:\n  box: {architecture: [arm64]}\n"));
    assert!(told.contains("servers.box.architecture: "), "{told}");
    // A parameter would let an update read what another kind of processor has written.
    let told = wrong(&minimal("servers:\n  box: {architecture: \"${parameters.kind}\"}\n"));
    assert!(told.contains("servers.box.architecture: "), "{told}");
}

/// Attack 30: a few bytes must not become gigabytes.
#[test]
fn attack_30_a_bomb_of_anchors_is_refused_without_unfolding_it() {
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (name, inner) in ('b'..='z').zip('a'..='y') {
        let aliases = vec![format!("*{inner}"); 9].join(", ");
        bomb += &format!("{name}: &{name} [{aliases}]\n");
    }
    let told = wrong(&minimal(&bomb));
    assert!(told.lines().count() < 200, "{} lines", told.lines().count());
    assert!(told.contains("anchors (`&`) are not part of the template language"));
    assert!(wrong(&"[".repeat(100_000)).lines().count() < 10);
    assert!(wrong(&"a".repeat(300_000)).contains("a template may have 262144"));
}

#[test]
fn a_number_stays_the_text_it_was_written_as() {
    assert_eq!(good(&minimal("")).version, "1.10");
}

#[test]
fn the_place_of_a_mistake_inside_a_script_is_exact() {
    let source =
        minimal("servers:\n  box:\n    setup: |\n      # fine: ${HOME}\n      echo hi && echo ${parameters.size}\n");
    assert!(wrong(&source).starts_with("template.yaml:10:23: servers.box.setup: "), "{}", wrong(&source));
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
