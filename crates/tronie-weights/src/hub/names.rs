//! Names that become parts of paths and addresses. Nothing else does.

use std::fmt;
use std::str::FromStr;

use super::HubError;

/// A model's repository: `org/name`, or an old one without organisation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepoId(String);

impl RepoId {
    /// The name of its folder in the cache.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("models--{}", self.0.replace('/', "--"))
    }
}

impl FromStr for RepoId {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_plain = |part: &&str| {
            let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !part.is_empty() && part.len() <= 96 && part.chars().all(letters) && !part.starts_with(['.', '-'])
        };
        // The Hub forbids both pairs, and "--" would make two repositories share a folder.
        let unambiguous = !text.contains("--") && !text.contains("..");
        if parts.len() <= 2 && parts.iter().all(is_plain) && unambiguous {
            return Ok(Self(text.to_owned()));
        }
        Err(HubError::Repo { name: shown(text) })
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A branch, tag or commit whose name is safe as a path below `refs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Revision(String);

impl Revision {
    pub(super) fn new(text: &str) -> Result<Self, HubError> {
        if is_safe_path(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(HubError::Revision { name: shown(text) })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` is a relative path of plain names, on every system: no `..`, no root, no drive, no device, no
/// backslash, nothing a terminal would interpret.
pub(super) fn is_safe_path(text: &str) -> bool {
    text.len() <= 1000 && text.split('/').all(is_safe_name)
}

fn is_safe_name(name: &str) -> bool {
    const FORBIDDEN: &[char] = &['\\', ':', '*', '?', '"', '<', '>', '|'];
    // Windows opens these as devices, whatever the ending.
    const DEVICES: &[&str] =
        &["CON", "PRN", "AUX", "NUL", "COM1", "COM2", "COM3", "COM4", "LPT1", "LPT2", "LPT3"];
    let stem = name.split('.').next().unwrap_or_default().to_ascii_uppercase();
    (1..=255).contains(&name.len())
        && !name.chars().any(|c| c.is_control() || FORBIDDEN.contains(&c))
        && !name.ends_with(['.', ' '])
        && !DEVICES.contains(&stem.as_str())
}

/// Whether `text` is a git commit.
pub(super) fn is_commit(text: &str) -> bool {
    is_hex(text, 40)
}

/// Whether `text` is so many lower-case hexadecimal digits.
pub(super) fn is_hex(text: &str, n_digits: usize) -> bool {
    text.len() == n_digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A foreign string as part of a message: short, and without control characters.
pub(super) fn shown(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    printable.take(200).collect()
}

/// `text` as part of an address. `keep` may stay as it is, besides letters, digits and `-_.~`.
pub(super) fn percent_encoded(text: &str, keep: char) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let letter = char::from(byte);
        if letter.is_ascii_alphanumeric() || "-_.~".contains(letter) || letter == keep {
            encoded.push(letter);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
