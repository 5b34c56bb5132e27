//! An ext4 filesystem on a device that is blank.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use super::probe;
use crate::run::process;

/// Formats. The mark is on the device for as long as that takes.
///
/// # Errors
/// In words. Another call goes on from there.
pub(super) fn format(device: &Path, volume: &str) -> Result<(), String> {
    let unwritable = |error: io::Error| format!("{} cannot be written: {error}", device.display());
    write_mark(device, &probe::mark(volume)).map_err(unwritable)?;
    let mut command = Command::new("mkfs.ext4");
    // No room is kept for a superuser, and the mark is not discarded with everything else.
    command.args(["-F", "-q", "-m", "0", "-E", "nodiscard"]);
    if let Some(uuid) = uuid(volume) {
        command.args(["-U", &uuid]);
    }
    run(command.arg(device))?;
    write_mark(device, &[0; probe::MARK_LENGTH]).map_err(unwritable)
}

pub(super) fn write_mark(device: &Path, mark: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).open(device)?;
    file.seek(SeekFrom::End(-(probe::MARK_FROM_END as i64)))?;
    file.write_all(mark)?;
    file.sync_all()
}

/// Has the filesystem use the whole device.
pub(super) fn grow(device: &Path, path: &Path, kind: &str) -> Result<(), String> {
    match kind {
        "xfs" => run(Command::new("xfs_growfs").arg(path)),
        _ => run(Command::new("resize2fs").arg(device)),
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.env("PATH", process::path()).stdin(std::process::Stdio::null()).output();
    let done = done.map_err(|error| format!("{name} cannot be run: {error}"))?;
    match done.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&done.stderr);
            let last = said.trim().lines().last().unwrap_or_default().to_owned();
            Err(format!("{name} {}: {last}", process::describe(done.status)))
        }
    }
}

/// The volume's id as a UUID, so that one can be told by the other: `vol-0123456789abcdef0` has seventeen digits.
fn uuid(volume: &str) -> Option<String> {
    let digits = volume.strip_prefix("vol-")?;
    let hex = digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let digits = (hex && (8..=32).contains(&digits.len())).then(|| format!("{digits:0>32}"))?;
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Some(parts.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filesystem_has_the_id_of_its_volume() {
        let id = uuid("vol-0123456789abcdef0");
        assert_eq!(id.as_deref(), Some("00000000-0000-0000-1234-56789abcdef0"));
        assert_eq!(uuid("vol-x"), None);
        assert_eq!(uuid("data"), None);
    }
}
