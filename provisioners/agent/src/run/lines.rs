//! From the bytes a process writes to lines of plain text.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::logs::{Logs, MAX_TEXT};

const CHUNK: usize = 32 * 1024;

/// Reads lines as they come, many at a time when they come fast, until the last writer is gone. Memory stays bounded
/// whatever is written: of a longer line only the beginning is kept.
pub(super) async fn copy_lines(mut output: impl AsyncRead + Unpin, logs: Arc<Logs>, source: String) {
    // Room beyond the longest line, so that a secret at the cut is still seen whole when it is masked.
    let longest = MAX_TEXT + CHUNK;
    let mut buffer = Vec::new();
    let mut rest_of_cut_line = false;
    loop {
        buffer.reserve(CHUNK);
        let read = output.read_buf(&mut buffer).await.unwrap_or(0);
        let complete = match buffer.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if read == 0 || buffer.len() > longest => buffer.len(),
            None => continue,
        };
        let ended = buffer[complete - usize::from(complete > 0)..complete] == *b"\n";
        let skip = usize::from(rest_of_cut_line);
        let lines = buffer[..complete].split_inclusive(|byte| *byte == b'\n').skip(skip);
        logs.append(&source, lines.map(|line| plain(&String::from_utf8_lossy(line))));
        if complete > 0 {
            rest_of_cut_line = !ended;
        }
        buffer.drain(..complete);
        if read == 0 {
            if !buffer.is_empty() && !rest_of_cut_line {
                logs.append(&source, [plain(&String::from_utf8_lossy(&buffer))]);
            }
            return;
        }
        if buffer.is_empty() && buffer.capacity() > 2 * CHUNK {
            buffer = Vec::new();
        }
    }
}

/// The text as a person would see it on a terminal: without escape sequences, control characters, and what a carriage
/// return wrote over. Whoever shows a log line later cannot be tricked by it.
pub(super) fn plain(line: &str) -> String {
    let line = line.trim_end_matches(['\n', '\r']);
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip_escape(&mut characters),
            '\t' => text.push('\t'),
            control if control.is_control() => {}
            other => text.push(other),
        }
    }
    text
}

/// What follows ESC: `[` parameters and a final letter (CSI), `]` text up to BEL or ESC `\` (OSC), or one character.
fn skip_escape(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match characters.next() {
        Some('[') => while characters.next().is_some_and(|character| !('@'..='~').contains(&character)) {},
        Some(']') => {
            while let Some(character) = characters.next() {
                if character == '\u{7}' || (character == '\u{1b}' && characters.next_if_eq(&'\\').is_some()) {
                    return;
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_is_plain_text_whatever_a_program_writes() {
        assert_eq!(plain("\u{1b}[31;1mred\u{1b}[0m\tand \u{1b}]0;title\u{7}plain\u{0}\r\n"), "red\tand plain");
        assert_eq!(plain("10%\r55%\r100% done\r\n"), "100% done");
    }

    #[tokio::test]
    async fn lines_are_cut_rejoined_and_repaired_without_losing_their_neighbours() {
        let directory = tempfile::tempdir().unwrap();
        let logs = Arc::new(Logs::open(directory.path()).unwrap());
        let mut bytes = b"first\nbad \xff byte\n".to_vec();
        bytes.extend(vec![b'x'; 200_000]);
        bytes.extend(b"\nlast without an end");
        copy_lines(&bytes[..], logs.clone(), "api".into()).await;
        let lines = logs.tail(&["api"], 10);
        assert_eq!(lines.len(), 4);
        assert_eq!((lines[0].as_str(), lines[1].as_str()), ("first", "bad \u{fffd} byte"));
        assert!(lines[2].starts_with("xxx") && lines[2].len() <= MAX_TEXT);
        assert_eq!(lines[3], "last without an end");
    }
}
