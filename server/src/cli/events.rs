//! Server-sent events (WHATWG HTML, section 9.2), as far as the portal sends them: the data of each event.

use app::api::Work;
use reqwest::Response;
use serde::de::DeserializeOwned;

use super::copy::Bar;
use super::failure::Failure;
use super::output::Output;

/// Longest event taken in, in bytes.
const MAX_EVENT: usize = 1 << 20;

pub struct Events {
    response: Response,
    /// What has come and is no whole line yet.
    pending: Vec<u8>,
    lines: std::collections::VecDeque<String>,
    data: Option<String>,
}

impl Events {
    pub fn of(response: Response) -> Self {
        Self { response, pending: Vec::new(), lines: Default::default(), data: None }
    }

    /// What comes of something long in the end; told how far it has come while it goes on. Going away ends it.
    pub async fn outcome<T: DeserializeOwned>(mut self, output: Output) -> Result<T, Failure> {
        let mut bar = Bar::new(None, output);
        while let Some(event) = self.next().await? {
            let event = serde_json::from_str(&event)
                .map_err(|error| Failure::local(format!("the portal's answer is not understood: {error}")))?;
            match event {
                Work::Going { progress } => bar.show(&progress),
                Work::Done { result } => return Ok(result),
                Work::Failed { error } => return Err(Failure::from(error)),
            }
        }
        Err(Failure::unreachable("the portal went away before it was done"))
    }

    /// The next event's data; `None` when the portal has ended the stream.
    pub async fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            while let Some(line) = self.lines.pop_front() {
                if let Some(event) = take_line(&mut self.data, &line) {
                    return Ok(Some(event));
                }
            }
            let lost = |error| Failure::unreachable(format!("the connection to the portal was lost: {error}"));
            let Some(bytes) = self.response.chunk().await.map_err(lost)? else { return Ok(None) };
            self.pending.extend_from_slice(&bytes);
            if self.pending.len() > MAX_EVENT {
                return Err(Failure::local("the portal sent an event without end"));
            }
            while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                self.lines.push_back(line.trim_end_matches(['\n', '\r']).to_owned());
            }
        }
    }
}

/// Takes one line in; the event's data when the line ends it.
fn take_line(data: &mut Option<String>, line: &str) -> Option<String> {
    if line.is_empty() {
        return data.take();
    }
    if let Some(value) = line.strip_prefix("data:") {
        let value = value.strip_prefix(' ').unwrap_or(value);
        match data {
            Some(data) => {
                data.push('\n');
                data.push_str(value);
            }
            None => *data = Some(value.to_owned()),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_its_data_lines_and_comments_are_no_events() {
        let mut data = None;
        let lines = [": keep-alive", "", "event: x", "data: {\"a\":", "data: 1}", "", "data:last", ""];
        let events: Vec<String> = lines.iter().filter_map(|line| take_line(&mut data, line)).collect();
        assert_eq!(events, ["{\"a\":\n1}", "last"]);
    }
}
