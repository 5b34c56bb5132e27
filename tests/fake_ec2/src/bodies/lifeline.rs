//! The end of all bodies when the fake ends, however that comes about: a process among them that listens to the fake's
//! silence. A connection that the fake keeps open breaks when it is gone, and the holder is asked to end everything.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// The word that selects this in the program.
pub const COMMAND: &str = "lifeline";

/// `fake-ec2 lifeline LIFE-SOCKET HOLDER-SOCKET`, started by the holder.
pub fn run(arguments: &[String]) -> ExitCode {
    let [life, holder] = arguments else { return ExitCode::FAILURE };
    if let Ok(mut stream) = UnixStream::connect(life) {
        // Nothing is ever said.
        let _ = stream.read(&mut [0; 1]);
    }
    let ended = UnixStream::connect(holder).and_then(|mut stream| {
        stream.write_all(b"\"end\"\n")?;
        stream.read(&mut [0; 1])
    });
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
