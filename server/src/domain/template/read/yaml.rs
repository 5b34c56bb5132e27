//! From text to a tree that remembers where everything stands.
//!
//! The templates' YAML is a safe, plain subset: one document of mappings, lists and scalars. Guaranteed: no duplicate key
//! (nothing later in the file can override what stands above), no anchor, alias, merge key or tag (nothing expands), no
//! control character, bounded size and depth. Deliberately absent: guessing types. A scalar is its text, and whoever reads
//! a key says what it should be, so `version: 1.10` stays `1.10`.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use crate::domain::template::problem::{Position, Problem};

/// Longest source, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;
const MAX_DEPTH: usize = 16;
/// Problems of one file that are told at once; a file with more is not a template at all.
const MAX_PROBLEMS: usize = 100;

#[derive(Clone, Debug)]
pub struct Node {
    pub at: Position,
    /// Where it stands in the source.
    pub bytes: Range<usize>,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub enum Value {
    Scalar { text: String, plain: bool },
    Sequence(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub struct Key {
    pub at: Position,
    pub text: String,
}

/// Reads one document. Problems are added; the tree is what could be read despite them, `None` when nothing could.
pub fn parse(source: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    if source.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; a template may have {MAX_BYTES}", source.len());
        problems.push(Problem { at: Position { line: 1, column: 1 }, key: String::new(), message });
        return None;
    }
    let options = granit_parser::options! { emit_unresolved_aliases: true, disallow_directives: true };
    let mut builder = Builder { events: Parser::new_from_str_with_options(source, options), problems };
    builder.document().unwrap_or_default()
}

/// The problem was noted and nothing after it can be made sense of.
struct Stop;

struct Builder<'a, 's> {
    events: Parser<'s, granit_parser::StrInput<'s>>,
    problems: &'a mut Vec<Problem>,
}

impl<'s> Builder<'_, 's> {
    fn document(&mut self) -> Result<Option<Node>, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(self.stop(&span, "a second document begins here; a template is one document per file"));
                }
                Event::DocumentStart(..) => {
                    let (event, span) = self.next()?;
                    root = Some(self.node(event, span, "", 0)?);
                }
                _ => return Err(self.stop(&span, "this is not YAML as templates use it")),
            }
        }
        if root.is_none() {
            return Err(self.stop(&Span::default(), "the file is empty; a template begins with `name:`"));
        }
        Ok(root)
    }

    fn node(&mut self, event: Event<'s>, span: Span, path: &str, depth: usize) -> Result<Node, Stop> {
        if depth > MAX_DEPTH {
            return Err(self.stop(&span, "this is nested too deeply to be part of a template"));
        }
        if event.anchor_id().is_some_and(|id| id > 0) {
            self.note(&span, path, "anchors (`&`) are not part of the template language; write the value out");
        }
        if event.tag().is_some() {
            self.note(&span, path, "tags (`!`) are not part of the template language; leave it out");
        }
        let value = match event {
            Event::Scalar(text, style, ..) => {
                if let Some(control) = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
                    self.note(&span, path, &format!("contains the control character U+{:04X}", u32::from(control)));
                }
                Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }
            }
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break Value::Sequence(items),
                        (event, span) => {
                            let path = format!("{path}[{}]", items.len());
                            items.push(self.node(event, span, &path, depth + 1)?);
                        }
                    }
                }
            }
            Event::MappingStart(..) => Value::Mapping(self.mapping(path, depth)?),
            Event::Alias(..) | Event::UnresolvedAlias(..) => {
                self.note(&span, path, "aliases (`*`) are not part of the template language; write the value out");
                Value::Scalar { text: String::new(), plain: false }
            }
            _ => return Err(self.stop(&span, "a value is missing here")),
        };
        Ok(Node { at: position(&span), bytes: span.byte_range().unwrap_or_default(), value })
    }

    fn mapping(&mut self, path: &str, depth: usize) -> Result<Vec<(Key, Node)>, Stop> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(text, _, 0, None) => Key { at: position(&span), text: text.into_owned() },
                _ => return Err(self.stop(&span, "a key is a plain word, followed by a colon")),
            };
            let path = if path.is_empty() { key.text.clone() } else { format!("{path}.{}", key.text) };
            if key.text == "<<" {
                self.note(&span, &path, "merge keys (`<<`) are not part of the template language; write the keys out");
            } else if let Some((first, _)) = entries.iter().find(|(other, _)| other.text == key.text) {
                let message = format!("is given twice, first in line {}; keep one", first.at.line);
                self.note(&span, &path, &message);
            }
            let (event, span) = self.next()?;
            let value = self.node(event, span, &path, depth + 1)?;
            entries.push((key, value));
        }
    }

    fn next(&mut self) -> Result<(Event<'s>, Span), Stop> {
        match self.events.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => {
                let at = Position { line: error.marker().line().max(1), column: error.marker().col() + 1 };
                let message = format!("this is not YAML: {}", error.info());
                self.problems.push(Problem { at, key: String::new(), message });
                Err(Stop)
            }
            None => Err(self.stop(&Span::default(), "the file ends too early")),
        }
    }

    fn note(&mut self, span: &Span, path: &str, message: &str) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { at: position(span), key: path.into(), message: message.into() });
        }
    }

    fn stop(&mut self, span: &Span, message: &str) -> Stop {
        self.note(span, "", message);
        Stop
    }
}

fn position(span: &Span) -> Position {
    Position { line: span.start.line().max(1), column: span.start.col() + 1 }
}
