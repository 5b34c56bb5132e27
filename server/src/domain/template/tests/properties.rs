//! What holds for every input, tried on many.

use proptest::prelude::*;

use super::{WHOLE, whole};
use crate::domain::template::{Name, Text, compile, did_you_mean, finish, quantity, read, resolve};
use crate::domain::topology::Sharing;

fn name() -> impl Strategy<Value = Name> {
    let label = "[a-z][a-z0-9-]{0,5}";
    prop_oneof![
        "[a-z][a-z0-9_]{0,5}".prop_map(Name::Parameter),
        label.prop_map(Name::Address),
        label.prop_map(Name::Addresses),
        Just(Name::EnvironmentName),
        Just(Name::OwnName),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn reading_any_text_never_panics(source in any::<String>()) {
        let _ = read(&source);
    }

    #[test]
    fn reading_any_yaml_like_text_never_panics(source in "([a-z]{1,8}|[ \n:,\\[\\]{}&*!|>'\"#%@-]|\\$\\{|  ){0,80}") {
        let _ = read(&source);
    }

    /// A whole template with a piece taken out, doubled or overwritten is where near-valid files are.
    #[test]
    fn reading_a_damaged_template_never_panics(
        from in 0..WHOLE.len(), length in 0..60usize, instead in "[ -~\n]{0,12}", twice in any::<bool>()
    ) {
        let characters: Vec<char> = WHOLE.chars().collect();
        let from = from.min(characters.len());
        let to = (from + length).min(characters.len());
        let cut: String = characters[from..to].iter().collect();
        let damaged: String = characters[..from].iter().collect::<String>()
            + &instead + if twice { &cut } else { "" } + if twice { &cut } else { "" }
            + &characters[to..].iter().collect::<String>();
        if let Err(problems) = read(&damaged) {
            prop_assert!(problems.iter().count() > 0);
            let lines = damaged.lines().count() + 1;
            prop_assert!(problems.iter().all(|problem| problem.at.line >= 1 && problem.at.line <= lines && problem.at.column >= 1));
        }
    }

    #[test]
    fn a_text_of_the_language_is_the_same_after_writing_and_reading(
        parts in prop::collection::vec(prop_oneof![Just(None), name().prop_map(Some)], 0..6),
        literals in prop::collection::vec("[${}a.]{0,8}", 7),
    ) {
        // Built from values alone, as compile does: literals and names in turn.
        let template = parts.iter().map(|part| match part { Some(name) => name.written(), None => String::new() });
        let source: String = template.enumerate().map(|(index, name)| format!("x{index}{name}")).collect();
        let text = Text::parse(&source).unwrap();
        let put_in = text.substitute(|name| match name {
            Name::Parameter(_) => None,
            other => Some(literals[other.written().len() % literals.len()].clone()),
        });
        prop_assert_eq!(Text::parse(&put_in.source()).unwrap(), put_in);
    }

    #[test]
    fn a_value_put_in_comes_out_unchanged(value in "[${}a.\\PC]{0,40}", secret in "[${}b]{0,20}") {
        let text = Text::parse("a${parameters.p}${parameters.s}b$${parameters.p}").unwrap();
        let compiled = text.substitute(|name| (*name == Name::Parameter("p".into())).then(|| value.clone())).source();
        let finished = finish(&compiled, |name| (name == "s").then(|| secret.clone()));
        prop_assert_eq!(finished, format!("a{value}{secret}b${{parameters.p}}"));
    }

    #[test]
    fn any_values_are_resolved_or_refused_with_a_field_each(
        values in prop::collection::btree_map("[a-z]{1,9}|greeting|motd|workers|protect|machine|password", any::<String>(), 0..6)
    ) {
        let template = whole();
        match resolve(&template, &values) {
            Ok(values) => { compile(&template, "env", &values, Sharing::OneDisk); }
            Err(errors) => prop_assert!(errors.iter().all(|error| error.field.starts_with("parameters") && !error.message.is_empty())),
        }
    }

    #[test]
    fn helpers_take_any_text(text in any::<String>()) {
        let _ = (quantity::bytes(&text), quantity::milliseconds(&text), quantity::cpu_millis(&text));
        let _ = crate::domain::schedule::cron(&text);
        let _ = crate::domain::schedule::time_zone(&text);
        let _ = did_you_mean(&text, ["parameters"]);
    }

    #[test]
    fn any_cron_like_text_is_read_or_refused(text in "[0-9A-Z*/,#?L -]{0,30}") {
        let _ = crate::domain::schedule::cron(&text);
    }
}
