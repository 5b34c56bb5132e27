//! What names and paths may look like. Narrow on purpose: a name that passes can go into a file name, a host name, a log
//! line or an address without a second thought.

/// DNS label: what servers, volumes, services, templates and environments are called.
pub const LABEL: &str =
    "lower-case letters, digits and hyphens, beginning with a letter, not ending with a hyphen, at most 40";

pub fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=40).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && !text.ends_with('-')
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

/// What parameters and outputs are called.
pub const IDENTIFIER: &str = "lower-case letters, digits and underscores, beginning with a letter, at most 40";

pub fn is_identifier(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=40).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_')
}

/// Environment variables of a server. `BOOKEND_…` is Bookend's own.
pub const VARIABLE: &str = "letters, digits and underscores, not beginning with a digit nor with `BOOKEND_`";

pub fn is_variable(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && !text.as_bytes()[0].is_ascii_digit()
        && !text.to_ascii_uppercase().starts_with("BOOKEND_")
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

pub const COMMAND: &str = "the name of a command, without path or arguments";

pub fn is_command(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && !text.starts_with(['-', '.'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-'))
}

pub const DIRECTORY: &str = "an absolute path like `/srv/data`, without `.` and `..`";

pub fn is_directory(text: &str) -> bool {
    (2..=200).contains(&text.len())
        && text.starts_with('/')
        && text[1..].split('/').all(|part| !matches!(part, "" | "." | ".."))
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-' | b'+'))
}

/// Where a volume may be mounted: not over what makes the system run.
pub const MOUNT: &str = "an absolute path like `/data`, not in a directory of the system (/bin, /boot, /dev, /etc, /lib, /proc, /root, /run, /sbin, /sys, /tmp, /usr) and none of /home, /opt, /srv, /var themselves";

pub fn is_mount(text: &str) -> bool {
    const SYSTEM: [&str; 15] = [
        "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "root", "run", "sbin", "sys", "tmp",
        "usr",
    ];
    let first = text.trim_start_matches('/').split('/').next().unwrap_or_default();
    is_directory(text)
        && !SYSTEM.contains(&first)
        && !["/home", "/opt", "/srv", "/var", "/var/lib"].contains(&text)
        && !["/var/run", "/var/lock"].iter().any(|link| text.starts_with(link))
}

/// The path a port's button opens, and that of an HTTP check.
pub const URL_PATH: &str = "a path like `/` or `/admin?tab=1`, of printable characters without spaces";

pub fn is_url_path(text: &str) -> bool {
    (1..=500).contains(&text.len())
        && text.starts_with('/')
        && !text.starts_with("//")
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'`'))
}

/// OCI image reference, `registry/name:tag` or `registry/name@sha256:…`; the grammar is the distribution project's, and the
/// provisioner's own parser has the last word.
pub fn is_image(text: &str) -> bool {
    (1..=300).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && !text.contains("//")
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/' | b':' | b'@'))
        && text.rsplit('/').next().is_some_and(|last| {
            !last.is_empty() && last.bytes().all(|byte| !byte.is_ascii_uppercase() || last.contains([':', '@']))
        })
}

pub const VERSION: &str = "letters, digits, dots and hyphens like `1.4.0`, at most 32";

pub fn is_version(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

pub const TAG: &str = "lower-case letters, digits and `.+#-`, at most 30";

pub fn is_tag(text: &str) -> bool {
    (1..=30).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'+' | b'#' | b'-'))
}

/// Parameter → the environment variable in which scripts find its value.
pub fn parameter_variable(parameter: &str) -> String {
    format!("BOOKEND_PARAM_{}", parameter.to_ascii_uppercase())
}
