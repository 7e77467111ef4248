//! How long a prompt may be.

use tronie_base::{Fault, Faulty};

/// Longest prompt the front doors accept: some 200 chunks, far beyond what has an effect on an image.
pub const MAX_PROMPT_BYTES: usize = 64 * 1024;

/// A prompt beyond [`MAX_PROMPT_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the prompt has {found} bytes, at most {max} are accepted")]
pub struct PromptTooLong {
    /// Its length in bytes of UTF-8.
    pub found: usize,
    /// The limit.
    pub max: usize,
}

impl Faulty for PromptTooLong {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        Some("shorten the prompt; a text encoder reads 75 tokens at a time".into())
    }
}

/// Refuses a prompt that is too long, before any work is done on it.
///
/// # Errors
/// [`PromptTooLong`]
pub fn check_length(prompt: &str) -> Result<(), PromptTooLong> {
    let found = prompt.len();
    if found > MAX_PROMPT_BYTES {
        return Err(PromptTooLong { found, max: MAX_PROMPT_BYTES });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_itself_is_accepted_and_one_byte_more_is_not() {
        assert_eq!(check_length(&"a".repeat(MAX_PROMPT_BYTES)), Ok(()));
        let error = check_length(&"é".repeat(MAX_PROMPT_BYTES / 2 + 1)).unwrap_err();
        assert_eq!(error.to_string(), "the prompt has 65538 bytes, at most 65536 are accepted");
    }
}
