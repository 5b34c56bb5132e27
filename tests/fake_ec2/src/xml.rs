//! Writing the XML of answers.
//!
//! Answers are only ever written, never read, and consist of elements with text and nothing else; a writer of forty lines
//! says that better than a dependency that can do everything.

use std::fmt::{Display, Write};

#[derive(Default)]
pub struct Xml {
    text: String,
}

impl Xml {
    pub fn new() -> Self {
        Self { text: String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n") }
    }

    pub fn into_text(self) -> String {
        self.text
    }

    /// `<name>value</name>`
    pub fn value(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.open(name);
        // Writing into a string cannot fail.
        let _ = write!(Escaped(&mut self.text), "{value}");
        self.close(name)
    }

    /// Nothing when there is no value, as Amazon leaves fields out.
    pub fn maybe(&mut self, name: &str, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            self.value(name, value);
        }
        self
    }

    pub fn node(&mut self, name: &str, inner: impl FnOnce(&mut Self)) -> &mut Self {
        self.open(name);
        inner(self);
        self.close(name)
    }

    /// The root, with its namespace.
    pub fn root(&mut self, name: &str, namespace: &str, inner: impl FnOnce(&mut Self)) -> &mut Self {
        let _ = write!(self.text, "<{name} xmlns=\"{namespace}\">");
        inner(self);
        self.close(name)
    }

    /// A list, each of its members in an `<item>`.
    pub fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.open(name);
        for item in items {
            self.node("item", |xml| each(xml, item));
        }
        self.close(name)
    }

    /// Text where an element has nothing but it: members of plain lists.
    pub fn inline(&mut self, text: impl Display) {
        let _ = write!(Escaped(&mut self.text), "{text}");
    }

    pub fn tags(&mut self, tags: &std::collections::BTreeMap<String, String>) -> &mut Self {
        if tags.is_empty() {
            return self;
        }
        self.list("tagSet", tags, |xml, (key, value)| {
            xml.value("key", key).value("value", value);
        })
    }

    fn open(&mut self, name: &str) {
        self.text.push('<');
        self.text.push_str(name);
        self.text.push('>');
    }

    fn close(&mut self, name: &str) -> &mut Self {
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push('>');
        self
    }
}

struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let plain = |byte: &u8| !matches!(byte, b'&' | b'<' | b'>' | b'"' | 0..=31);
        if text.as_bytes().iter().all(plain) {
            self.0.push_str(text);
            return Ok(());
        }
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\n' => self.0.push_str("&#10;"),
                '\r' => self.0.push_str("&#13;"),
                '\t' => self.0.push('\t'),
                // XML 1.0 has no way to write the other control characters.
                control if control < ' ' => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_cannot_end_an_element() {
        let mut xml = Xml::default();
        xml.value("value", "</value><value>\u{1}&\n");
        assert_eq!(xml.into_text(), "<value>&lt;/value&gt;&lt;value&gt;\u{fffd}&amp;&#10;</value>");
    }
}
