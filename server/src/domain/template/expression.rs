//! The expression language of variables and outputs: `${parameters.size}`, `${servers.db.address}`. It puts values in the
//! place of names, once, and can do nothing else: no calls, no conditions, no nesting, no second pass over what it put in.
//!
//! `$${` stands for `${` itself; in general, of a run of `$` before `{` two make one, and an odd one left over begins a
//! name. That makes every text writable, so a compiled text can be stored *in this same language*: values are escaped,
//! and only the names of secrets remain, until [`finish`] puts those in at their one destination. A parameter's value
//! that looks like an expression therefore stays what the person typed.

use super::problem::did_you_mean;

/// A name whose value is put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// `parameters.NAME`
    Parameter(String),
    /// `servers.NAME.address`: the address of the only server of that name.
    Address(String),
    /// `servers.NAME.addresses`: of all of its count, separated by commas.
    Addresses(String),
    /// `environment.name`
    EnvironmentName,
    /// `server.name`: the server the variable belongs to.
    OwnName,
}

impl Name {
    /// As it stands in a text.
    pub fn written(&self) -> String {
        match self {
            Name::Parameter(parameter) => format!("${{parameters.{parameter}}}"),
            Name::Address(server) => format!("${{servers.{server}.address}}"),
            Name::Addresses(server) => format!("${{servers.{server}.addresses}}"),
            Name::EnvironmentName => "${environment.name}".into(),
            Name::OwnName => "${server.name}".into(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Literal(String),
    Name(Name),
}

/// A text of the language, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(Vec<Segment>);

/// An expression that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// As written, from `${` on.
    pub written: String,
    pub message: String,
}

impl Text {
    /// Takes a text apart.
    ///
    /// # Errors
    /// Every expression in it that means nothing, in order.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        let mut parsed = Text::default();
        let mut mistakes = Vec::new();
        let mut rest = text;
        while let Some(brace) = rest.find('{') {
            let dollars = rest[..brace].bytes().rev().take_while(|byte| *byte == b'$').count();
            parsed.push_literal(&rest[..brace - dollars]);
            parsed.push_literal(&"$".repeat(dollars / 2));
            let after = &rest[brace + 1..];
            if dollars % 2 == 0 {
                parsed.push_literal("{");
                rest = after;
                continue;
            }
            let written_from = &rest[brace - 1..];
            let Some(end) = after.find('}') else {
                let written = written_from.chars().take(40).collect();
                let message = "is not closed; write ${NAME}, or $${ for the characters themselves".into();
                mistakes.push(Mistake { written, message });
                rest = "";
                break;
            };
            match name(&after[..end]) {
                Ok(name) => parsed.0.push(Segment::Name(name)),
                Err(message) => mistakes.push(Mistake { written: written_from[..end + 3].into(), message }),
            }
            rest = &after[end + 1..];
        }
        parsed.push_literal(rest);
        if mistakes.is_empty() { Ok(parsed) } else { Err(mistakes) }
    }

    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Name(name) => Some(name),
            Segment::Literal(_) => None,
        })
    }

    /// Puts in the values that are there; a name without one stays.
    pub fn substitute(&self, value: impl Fn(&Name) -> Option<String>) -> Text {
        let mut result = Text::default();
        for segment in &self.0 {
            match segment {
                Segment::Literal(literal) => result.push_literal(literal),
                Segment::Name(name) => match value(name) {
                    Some(value) => result.push_literal(&value),
                    None => result.0.push(Segment::Name(name.clone())),
                },
            }
        }
        result
    }

    /// As it would have to be written: [`Text::parse`] of it is this text again.
    pub fn source(&self) -> String {
        let mut source = String::new();
        for (index, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Literal(literal) => {
                    let name_follows = matches!(self.0.get(index + 1), Some(Segment::Name(_)));
                    escape(literal, name_follows, &mut source);
                }
                Segment::Name(name) => source.push_str(&name.written()),
            }
        }
        source
    }

    fn push_literal(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Segment::Literal(literal)) => literal.push_str(text),
            _ => self.0.push(Segment::Literal(text.into())),
        }
    }
}

/// The last step, where a compiled text leaves for its one destination: puts the secrets' values in. A secret that is not
/// there becomes nothing.
pub fn finish(compiled: &str, secret: impl Fn(&str) -> Option<String>) -> String {
    let Ok(text) = Text::parse(compiled) else { return compiled.to_owned() };
    let finished = text.substitute(|name| match name {
        Name::Parameter(parameter) => Some(secret(parameter).unwrap_or_default()),
        _ => Some(String::new()),
    });
    finished
        .0
        .into_iter()
        .map(|segment| if let Segment::Literal(literal) = segment { literal } else { String::new() })
        .collect()
}

fn name(expression: &str) -> Result<Name, String> {
    let parts: Vec<&str> = expression.split('.').collect();
    let plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
    };
    if let ["parameters", parameter] = parts[..]
        && plain(parameter)
    {
        return Ok(Name::Parameter(parameter.into()));
    }
    match parts[..] {
        ["servers", server, "address"] if plain(server) => Ok(Name::Address(server.into())),
        ["servers", server, "addresses"] if plain(server) => Ok(Name::Addresses(server.into())),
        ["environment", "name"] => Ok(Name::EnvironmentName),
        ["server", "name"] => Ok(Name::OwnName),
        _ => {
            let hint = match did_you_mean(parts[0], ["parameters", "servers", "environment", "server"]) {
                hint if hint.is_empty() => ".".into(),
                hint => hint,
            };
            Err(format!(
                "means nothing{hint} Known are ${{parameters.NAME}}, ${{servers.NAME.address}}, \
                 ${{servers.NAME.addresses}}, ${{environment.name}} and, in variables, ${{server.name}}; \
                 write $${{ for the characters themselves"
            ))
        }
    }
}

/// Doubles each run of `$` that stands before `{`, or at the end when a name follows.
fn escape(literal: &str, name_follows: bool, out: &mut String) {
    let mut run = 0;
    for character in literal.chars() {
        if character == '{' {
            out.extend(std::iter::repeat_n('$', run));
        }
        run = if character == '$' { run + 1 } else { 0 };
        out.push(character);
    }
    if name_follows {
        out.extend(std::iter::repeat_n('$', run));
    }
}
