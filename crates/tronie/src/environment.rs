//! The only place of the program that reads environment variables.

use std::env;
use std::path::PathBuf;

/// What the environment says about models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Environment {
    /// `TRONIE_MODELS`: folders to look for models in, separated as in PATH.
    pub(crate) models_dirs: Vec<PathBuf>,
    /// `HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`.
    pub(crate) hub_cache: Option<PathBuf>,
    /// `HF_ENDPOINT`, else the Hub itself.
    pub(crate) hub_endpoint: Option<String>,
    /// `HF_TOKEN`.
    pub(crate) hub_token: Option<String>,
    /// `HF_HUB_OFFLINE` set to anything but 0.
    pub(crate) is_offline: bool,
}

impl Environment {
    pub(crate) fn read() -> Self {
        let text = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = path("HOME").or_else(|| path("USERPROFILE"));
        let hub_cache = path("HF_HUB_CACHE")
            .or_else(|| path("HF_HOME").map(|folder| folder.join("hub")))
            .or_else(|| path("XDG_CACHE_HOME").map(|folder| folder.join("huggingface/hub")))
            .or_else(|| home.map(|folder| folder.join(".cache/huggingface/hub")));
        Self {
            models_dirs: env::var_os("TRONIE_MODELS")
                .map(|dirs| env::split_paths(&dirs).collect())
                .unwrap_or_default(),
            hub_cache,
            hub_endpoint: text("HF_ENDPOINT"),
            hub_token: text("HF_TOKEN"),
            is_offline: text("HF_HUB_OFFLINE").is_some_and(|value| value != "0"),
        }
    }
}
