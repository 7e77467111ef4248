//! Models from the Hugging Face Hub, kept in the cache that its own tools, diffusers and llama.cpp share.
//!
//! The layout is the Hub's: `models--org--repo/{blobs,refs,snapshots}` and `.locks`, blobs named by their hash, snapshots
//! made of links to them. Whatever a server sends is checked before it becomes a path, and every file is compared with
//! its hash (SHA-256 of large files, git's SHA-1 of small ones) before it appears under its name. A download that was
//! cut goes on where it stopped, in the same run or a later one; two processes that want a file fetch it once.

mod cache;
mod download;
mod error;
mod http;
mod listing;
mod names;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tronie_base::{Progress, write_atomic};

pub use error::HubError;
pub use names::RepoId;

use cache::RepoCache;
use http::Client;
use listing::RemoteFile;
use names::{Revision, is_commit};

/// An access token. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token as the user gave it, without the space around it; `None` when nothing is left.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(...)")
    }
}

/// Where the Hub is and how it is spoken to. No environment variable is read here.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// The cache's folder, see [`HubConfig::cache_folder`].
    pub cache: PathBuf,
    /// `https://huggingface.co`, or a mirror.
    pub endpoint: String,
    /// The user's access token; it is sent to the endpoint and nowhere else.
    pub token: Option<Token>,
    /// `http://host:port` to go through, `None` for a direct connection.
    pub proxy: Option<String>,
    /// Use what is in the cache and open no connection.
    pub offline: bool,
    /// A connection that is silent for so long is given up.
    pub silence: Duration,
    /// How often a request that failed for a passing reason is repeated without any progress in between.
    pub n_retries: u32,
    /// The pause before the first repetition; it doubles with each.
    pub pause: Duration,
}

impl HubConfig {
    /// The public Hub, without a token.
    #[must_use]
    pub fn new(cache: PathBuf) -> Self {
        Self {
            cache,
            endpoint: "https://huggingface.co".into(),
            token: None,
            proxy: None,
            offline: false,
            silence: Duration::from_secs(20),
            n_retries: 5,
            pause: Duration::from_millis(500),
        }
    }

    /// The cache's folder by the Hub's rule: `$HF_HUB_CACHE`, else `$HF_HOME/hub`, else `~/.cache/huggingface/hub`.
    /// Empty values count as unset.
    #[must_use]
    pub fn cache_folder(
        hub_cache: Option<&Path>,
        hf_home: Option<&Path>,
        home: Option<&Path>,
    ) -> Option<PathBuf> {
        let set = |path: Option<&Path>| path.filter(|path| !path.as_os_str().is_empty()).map(Path::to_owned);
        let in_hf_home = || Some(set(hf_home)?.join("hub"));
        let in_home = || Some(set(home)?.join(".cache/huggingface/hub"));
        set(hub_cache).or_else(in_hf_home).or_else(in_home)
    }
}

/// What to fetch.
#[derive(Clone, Copy)]
pub struct Pull<'a> {
    /// The repository.
    pub repo: &'a RepoId,
    /// A branch, tag or commit; `main` where there is no reason for another.
    pub revision: &'a str,
    /// Which of its files, by their path inside the repository.
    pub wanted: &'a dyn Fn(&str) -> bool,
}

/// The Hub, seen through its cache.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    client: Client,
}

impl Hub {
    /// A hub of this configuration; nothing is contacted yet.
    ///
    /// # Errors
    /// [`HubError::Endpoint`] when the endpoint is no http address.
    pub fn new(config: HubConfig) -> Result<Self, HubError> {
        let client = Client::new(&config)?;
        Ok(Self { config, client })
    }

    /// The folder of a revision that is in the cache, whole or in part.
    ///
    /// # Errors
    /// [`HubError::Revision`] when that is no possible revision.
    pub fn find(&self, repo: &RepoId, revision: &str) -> Result<Option<PathBuf>, HubError> {
        let revision = Revision::new(revision)?;
        Ok(RepoCache::new(&self.config.cache, repo).find(&revision))
    }

    /// Makes the wanted files of a revision present, and returns the folder that holds them under their own paths.
    ///
    /// # Errors
    /// [`HubError`]. What was fetched of an unfinished file stays for the next attempt.
    pub fn pull(&self, pull: Pull<'_>, progress: &mut dyn Progress) -> Result<PathBuf, HubError> {
        let revision = Revision::new(pull.revision)?;
        let cache = RepoCache::new(&self.config.cache, pull.repo);
        if self.config.offline {
            return cached(&cache, pull, &revision);
        }
        progress.begin(&format!("looking up {}", pull.repo), 1);
        let listing = listing::fetch(&self.client, pull.repo, &revision, progress)?;
        progress.advance(1);
        let wanted: Vec<&RemoteFile> =
            listing.files.iter().filter(|file| (pull.wanted)(&file.path)).collect();
        if wanted.is_empty() {
            return Err(HubError::NothingWanted {
                repo: pull.repo.to_string(),
                revision: pull.revision.to_owned(),
            });
        }
        for file in wanted {
            progress.check()?;
            if !cache.has(&listing.commit, file) {
                let blob =
                    download::blob(&self.client, &cache, (pull.repo, &listing.commit, file), progress)?;
                let _lock = cache.lock("publish", progress)?;
                cache.publish(&listing.commit, &file.path, &blob)?;
            }
        }
        // Last: who follows the reference finds the files.
        let _lock = cache.lock("publish", progress)?;
        if !is_commit(revision.as_str()) {
            write_atomic(&cache.reference(&revision), listing.commit.as_bytes())?;
        }
        Ok(cache.snapshot(&listing.commit))
    }
}

/// The cached folder of a revision, if it has anything of what is wanted.
fn cached(cache: &RepoCache, pull: Pull<'_>, revision: &Revision) -> Result<PathBuf, HubError> {
    let folder = cache.find(revision);
    let has_any = |folder: &PathBuf| cache::files(folder).iter().any(|path| (pull.wanted)(path));
    folder
        .filter(has_any)
        .ok_or_else(|| HubError::Offline { repo: pull.repo.to_string(), revision: pull.revision.to_owned() })
}

#[cfg(test)]
mod tests;
