//! From an order's values to the topology.

use std::collections::BTreeMap;

use app::api::FieldError;
use insta::{assert_json_snapshot, assert_snapshot};
use provisioners::Secret;

use super::{good, minimal, whole};
use crate::domain::template::{Values, carried_over, compile, parameter_variables, resolve};
use crate::domain::topology::{Sharing, Topology};

pub fn given(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn refused(values: &[(&str, &str)]) -> String {
    let errors = resolve(&whole(), &given(values)).expect_err("the order is wrong");
    errors.iter().map(|FieldError { field, message }| format!("{field}: {message}\n")).collect()
}

fn ordered(values: &[(&str, &str)]) -> Topology {
    let template = whole();
    compile(&template, "my-env", &resolve(&template, &given(values)).unwrap(), Sharing::OneDisk)
}

#[test]
fn defaults_fill_in_what_was_not_given_and_what_does_not_apply_is_absent() {
    let values = resolve(&whole(), &given(&[("greeting", "Hi")])).unwrap();
    let expected = [("greeting", "Hi"), ("motd", ""), ("workers", "2"), ("protect", "false"), ("machine", "small")];
    assert_eq!(values, Values { plain: given(&expected), secrets: BTreeMap::new() });
}

#[test]
fn a_secret_is_kept_apart_and_prints_as_stars() {
    let values = resolve(&whole(), &given(&[("protect", "true"), ("password", "hunter2")])).unwrap();
    assert_eq!(values.secrets["password"].reveal(), "hunter2");
    assert!(!values.plain.contains_key("password"));
    assert!(!format!("{values:?}").contains("hunter2"));
}

#[test]
fn every_wrong_value_is_told_at_once() {
    assert_snapshot!(refused(&[
        ("greeting", "<b>"),
        ("motd", "bell\u{7}"),
        ("workers", "5"),
        ("protect", "yes"),
        ("machine", "huge"),
        ("pasword", "x"),
    ]));
    assert_snapshot!(refused(&[("protect", "true")]));
    assert_snapshot!(refused(&[("password", "x"), ("workers", "02"), ("greeting", "two\nlines")]));
}

#[test]
fn a_form_may_send_its_blank_and_hidden_fields_along() {
    let sent = [("workers", ""), ("password", ""), ("greeting", ""), ("motd", "a\r\nb")];
    let values = resolve(&whole(), &given(&sent)).unwrap();
    assert_eq!(values.plain["workers"], "2", "a blank number is the default");
    assert_eq!(values.plain["greeting"], "", "a text may be cleared");
    assert_eq!(values.plain["motd"], "a\nb", "line ends of the network become ours");
}

#[test]
fn the_same_order_gives_the_same_topology_down_to_the_last_address() {
    let values = [("workers", "3"), ("protect", "true"), ("password", "hunter2"), ("machine", "large")];
    assert_eq!(ordered(&values), ordered(&values));
    assert_json_snapshot!(ordered(&values));
}

#[test]
fn a_topology_holds_the_secrets_name_and_its_value_only_at_the_end() {
    let topology = ordered(&[("protect", "true"), ("password", "${parameters.greeting}")]);
    let web = topology.servers.iter().find(|server| server.name == "web").unwrap();
    assert_eq!(web.variables["PASSWORD"], "${parameters.password}");
    let secrets = [("password".to_owned(), Secret::new("${parameters.greeting}"))].into();
    let finished = web.with_secrets(&secrets);
    assert_eq!(finished.variables["PASSWORD"], "${parameters.greeting}", "put in once, not read again");
    assert_eq!(finished.variables["LITERAL"], "${parameters.greeting} costs $5 {really}");
    assert_eq!(finished.services[0].variables["ME"], "web of my-env");
    assert_eq!(topology.outputs[1].with_secrets(&secrets), "it is ${parameters.greeting}");
    assert_eq!(topology.outputs[1].with_secrets(&BTreeMap::new()), "it is ");
}

#[test]
fn a_secret_that_does_not_apply_becomes_nothing() {
    let topology = ordered(&[]);
    assert_eq!(topology.servers.iter().find(|server| server.name == "web").unwrap().variables["PASSWORD"], "");
}

#[test]
fn servers_stand_after_those_they_need() {
    let names: Vec<String> = ordered(&[]).servers.into_iter().map(|server| server.name).collect();
    assert_eq!(names, ["db", "worker-1", "worker-2", "web"]);
}

#[test]
fn parameters_reach_scripts_by_variables_of_their_own() {
    let values = resolve(&whole(), &given(&[("protect", "true"), ("password", "hunter2")])).unwrap();
    let variables = parameter_variables(&values.plain, &values.secrets);
    assert_eq!(variables["BOOKEND_PARAM_PASSWORD"], "hunter2");
    assert_eq!(variables["BOOKEND_PARAM_WORKERS"], "2");
}

#[test]
fn a_pattern_must_match_the_whole_value() {
    let template = good(&minimal("parameters:\n  p: {type: string, pattern: 'a|ab|(?i)xy'}\n"));
    for (value, fits) in [("a", true), ("ab", true), ("XY", true), ("abc", false), ("xa", false), ("a\n", false)] {
        assert_eq!(resolve(&template, &given(&[("p", value)])).is_ok(), fits, "{value:?}");
    }
}

#[test]
fn a_template_asks_nothing_when_every_field_that_is_shown_has_a_default() {
    for (parameters, asks_nothing) in [
        ("", true),
        ("parameters:\n  a: {type: string, default: x}\n", true),
        ("parameters:\n  a: {type: string}\n", false),
        ("parameters:\n  a: {type: boolean, default: false}\n  b: {type: secret, when: {a: true}}\n", true),
        ("parameters:\n  a: {type: boolean, default: true}\n  b: {type: secret, when: {a: true}}\n", false),
    ] {
        let template = good(&minimal(parameters));
        assert_eq!(template.asks_nothing(), asks_nothing, "{parameters}");
        assert_eq!(resolve(&template, &given(&[])).is_ok(), asks_nothing, "{parameters}");
    }
}

#[test]
fn a_preset_orders_as_it_stands_and_sets_nothing_that_would_not_apply() {
    let template = whole();
    for preset in &template.presets {
        assert!(resolve(&template, &preset.values).is_ok(), "{}", preset.name);
    }
    let conditional =
        "parameters:\n  a: {type: boolean, default: false}\n  b: {type: string, default: x, when: {a: true}}\n";
    let preset = |values: &str| minimal(&format!("{conditional}presets:\n  p: {{title: P, values: {values}}}\n"));
    good(&preset("{a: true, b: y}"));
    let wrong = super::wrong(&preset("{b: y}"));
    assert!(wrong.contains("presets.p.values.b: only applies when `a` is `true`; set that too"), "{wrong}");
}

#[test]
fn of_an_earlier_order_is_carried_over_what_still_fits_and_never_a_secret() {
    let earlier =
        [("greeting", "Hi"), ("motd", ""), ("workers", "9"), ("machine", "large"), ("gone", "1"), ("password", "***")];
    let (values, dropped) = carried_over(&whole(), &given(&earlier));
    assert_eq!(values, given(&[("greeting", "Hi"), ("machine", "large")]), "defaults need no carrying");
    assert_eq!(dropped, ["gone", "Workers"]);
}

#[test]
fn where_servers_share_no_disk_each_gets_a_copy_of_what_they_share() {
    let template = whole();
    let values = resolve(&template, &given(&[("greeting", "Hi")])).unwrap();
    let one = compile(&template, "my-env", &values, Sharing::OneDisk);
    let copies = compile(&template, "my-env", &values, Sharing::Copies);
    assert_eq!((one.sharing(), copies.sharing()), (Some(Sharing::OneDisk), Some(Sharing::Copies)));
    let names = |topology: &Topology| topology.volumes.iter().map(|volume| volume.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&one), ["shared", "own-worker-1", "own-worker-2"]);
    assert_eq!(names(&copies), ["shared-web", "shared-db", "own-worker-1", "own-worker-2"]);
    let mount = |topology: &Topology, server: &str| {
        let spec = topology.servers.iter().find(|spec| spec.name == server).expect("it is there");
        (spec.mounts[0].volume.clone(), spec.mounts[0].path.clone(), spec.mounts[0].copy_of.clone())
    };
    assert_eq!(mount(&copies, "db"), ("shared-db".into(), "/var/lib/data".into(), Some("shared".into())));
    assert_eq!(mount(&one, "db"), ("shared".into(), "/var/lib/data".into(), None));
    assert_eq!(mount(&copies, "worker-1"), mount(&one, "worker-1"), "its own volume was its own before");
    let variable = |topology: &Topology| {
        let spec = topology.servers.iter().find(|spec| spec.name == "web").expect("it is there");
        spec.variables["WORKERS"].clone()
    };
    assert_ne!(variable(&one), variable(&copies));
    assert_eq!(variable(&copies), "worker-1,worker-2", "machines apart are found by their names");
}
