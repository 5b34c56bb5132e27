//! Attacks 16 and 17 on the template language; 18 and 30 stand with the mistakes.

use super::orders::given;
use super::{good, minimal, whole, wrong};
use crate::domain::template::{compile, finish, parameter_variables, resolve};
use crate::domain::topology::Sharing;

/// Values that do something wherever text is pasted together.
const HOSTILE: [&str; 16] = [
    "$(touch /tmp/owned)",
    "`touch /tmp/owned`",
    "'; touch /tmp/owned; '",
    "\"; touch /tmp/owned; \"",
    "-rf",
    "--help",
    "a b\\c",
    "$HOME",
    "${HOME}",
    "${parameters.password}",
    "$${parameters.password}",
    "$$${parameters.password}",
    "${environment.name}",
    "{{7*7}}",
    "../../etc/passwd",
    "%s%n",
];

/// Attack 16: whatever is typed is what arrives, and no script ever changes by it.
#[test]
fn attack_16_a_hostile_value_arrives_as_it_was_typed_and_changes_no_script() {
    let template = whole();
    let harmless =
        compile(&template, "env", &resolve(&template, &given(&[("greeting", "x")])).unwrap(), Sharing::OneDisk);
    for value in HOSTILE {
        let values = resolve(&template, &given(&[("greeting", value), ("motd", value)])).unwrap();
        let topology = compile(&template, "env", &values, Sharing::OneDisk);
        for (server, before) in topology.servers.iter().zip(&harmless.servers) {
            assert_eq!(server.setup, before.setup);
            assert_eq!(server.startup, before.startup);
            assert_eq!(server.checks, before.checks);
            let commands =
                |services: &[agent::api::Service]| services.iter().map(|s| s.command.clone()).collect::<Vec<_>>();
            assert_eq!(commands(&server.services), commands(&before.services));
        }
        let web = topology.servers.iter().find(|server| server.name == "web").unwrap();
        assert_eq!(finish(&web.variables["GREETING"], |_| Some("SECRET".into())), value);
        assert_eq!(parameter_variables(&values.plain, &values.secrets)["BOOKEND_PARAM_MOTD"], value);
    }
}

/// Attack 16: what cannot be in an environment variable, or would begin a line of its own in a log, is refused.
#[test]
fn attack_16_line_ends_and_control_characters_are_refused_where_they_are_not_asked_for() {
    let template = good(&minimal(
        "parameters:\n  line: {type: string, default: ''}\n  lines: {type: string, multiline: true, default: ''}\n  \
         key: {type: secret}\n  number: {type: integer, default: 1}\n  choice: {type: choice, options: [a], default: a}\n  \
         yes: {type: boolean, default: true}\n",
    ));
    for name in ["line", "lines", "key", "number", "choice", "yes"] {
        for hostile in ["\0", "a\0b", "a\u{1b}[2J", "a\u{85}b", "a\u{7f}"] {
            let errors = resolve(&template, &given(&[("key", "k"), (name, hostile)])).expect_err(name);
            assert_eq!(errors[0].field, format!("parameters.{name}"));
        }
        let accepted = resolve(&template, &given(&[("key", "k"), (name, "a\nb")])).is_ok();
        assert_eq!(accepted, name == "lines", "a line end in {name}");
    }
    let errors = resolve(&template, &given(&[("key", "k"), ("no\u{1b}such\nname", "x")])).unwrap_err();
    assert_eq!(errors[0].field, "parameters.nosuchname", "a name given is shown without what could move a cursor");
}

/// Attack 17: the language knows names and nothing else.
#[test]
fn attack_17_nothing_in_an_expression_executes_or_reaches_out() {
    for expression in [
        "${7*7}",
        "${parameters['password']}",
        "${parameters.greeting.constructor}",
        "${parameters.greeting | shell}",
        "${parameters.${parameters.greeting}}",
        "${process.env.HOME}",
        "${file(/etc/passwd)}",
        "${env.HOME}",
        "${servers.box.address.x}",
        "${ parameters.greeting }",
        "${}",
        "${parameters.}",
        "${PARAMETERS.greeting}",
    ] {
        let source = minimal(&format!(
            "parameters:\n  greeting: {{type: string, default: x}}\noutputs:\n  o: {{title: T, value: '{}'}}\n",
            expression.replace('\'', "''")
        ));
        assert!(wrong(&source).contains("means nothing"), "{expression}: {}", wrong(&source));
    }
}

/// Attack 17: a value that looks like an expression, next to a real secret, stays text.
#[test]
fn attack_17_a_value_cannot_name_a_secret() {
    let template = good(&minimal(
        "parameters:\n  plain: {type: string}\n  key: {type: secret}\nservers:\n  box:\n    variables:\n      \
         BOTH: ${parameters.plain}${parameters.key}$\n      TWICE: ${parameters.plain}${parameters.plain}\n",
    ));
    for value in ["$", "$$", "${parameters.key}", "$${", "${", "{", "$$$", "${parameters.key}$"] {
        let values = resolve(&template, &given(&[("plain", value), ("key", "SECRET")])).unwrap();
        let variables = &compile(&template, "env", &values, Sharing::OneDisk).servers[0].variables;
        let finished =
            |name: &str| finish(&variables[name], |name| values.secrets.get(name).map(|s| s.reveal().to_owned()));
        assert_eq!(finished("BOTH"), format!("{value}SECRET$"));
        assert_eq!(finished("TWICE"), format!("{value}{value}"));
    }
}
