//! The terminal this program was started in.

use std::io::IsTerminal;

use agent::api::Size;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::failure::Failure;

/// Both ends are a terminal: somebody sits there.
pub fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// 80 × 24 where no terminal says otherwise.
pub fn size() -> Size {
    match tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Size { cols: size.ws_col, rows: size.ws_row },
        _ => Size { cols: 80, rows: 24 },
    }
}

/// Keys go to the server as they are typed, for as long as this lives.
pub struct Raw(Termios);

impl Raw {
    pub fn enter() -> Result<Self, Failure> {
        let trouble = |error| Failure::local(format!("the terminal cannot be switched to single keys: {error}"));
        let before = tcgetattr(std::io::stdin()).map_err(trouble)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).map_err(trouble)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Reads a line that is not shown: a password, a token. Without a terminal, a line of standard input.
pub fn read_hidden(prompt: &str) -> Result<String, Failure> {
    use rustix::termios::LocalModes;
    use std::io::Write;

    let mut line = String::new();
    if !std::io::stdin().is_terminal() {
        std::io::stdin().read_line(&mut line)?;
        return Ok(line.trim_end_matches(['\n', '\r']).to_owned());
    }
    let mut stderr = std::io::stderr();
    write!(stderr, "{prompt}")?;
    let before = tcgetattr(std::io::stdin()).map_err(|error| Failure::local(error.to_string()))?;
    let mut hidden = before.clone();
    hidden.local_modes &= !LocalModes::ECHO;
    tcsetattr(std::io::stdin(), OptionalActions::Now, &hidden).map_err(|error| Failure::local(error.to_string()))?;
    let restore = Raw(before);
    let read = std::io::stdin().read_line(&mut line);
    drop(restore);
    writeln!(stderr)?;
    read?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
