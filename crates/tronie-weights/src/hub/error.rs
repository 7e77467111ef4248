//! What can go wrong between here and the Hub.

use std::io;
use std::path::PathBuf;

use tronie_base::{Cancelled, Fault, Faulty, WriteError};

/// A model that could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// No possible repository.
    #[error("\"{name}\" is no repository name, expected org/name")]
    Repo {
        /// What was given.
        name: String,
    },
    /// No possible revision.
    #[error("\"{name}\" is no revision, expected a branch, tag or commit")]
    Revision {
        /// What was given.
        name: String,
    },
    /// No possible endpoint.
    #[error("\"{endpoint}\" is no http or https address")]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// Not in the cache, and no connection may be opened.
    #[error("{repo} at {revision} is not in the cache, and tronie is offline")]
    Offline {
        /// Which repository.
        repo: String,
        /// Which revision.
        revision: String,
    },
    /// The revision has none of the wanted files.
    #[error("{repo} at {revision} has none of the wanted files")]
    NothingWanted {
        /// Which repository.
        repo: String,
        /// Which revision.
        revision: String,
    },
    /// Access was refused.
    #[error("{url} answered {status}: access refused")]
    Refused {
        /// What was asked for.
        url: String,
        /// 401 or 403.
        status: u16,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// Nothing there.
    #[error("{url} answered 404: there is no such repository, revision or file")]
    NotFound {
        /// What was asked for.
        url: String,
    },
    /// Any other answer that is no success.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The answer.
        status: u16,
    },
    /// No answer, or a broken one.
    #[error("no complete answer from {url}: {source}")]
    Network {
        /// What was asked for.
        url: String,
        /// What the connection said.
        source: Box<ureq::Error>,
    },
    /// The download kept stopping before its end.
    #[error("{file} stopped at byte {found} of {expected}")]
    Cut {
        /// Which file.
        file: String,
        /// Bytes here.
        found: u64,
        /// Bytes announced.
        expected: u64,
    },
    /// A redirect that is not followed.
    #[error("{url} redirects to \"{to}\", which {why}")]
    Redirect {
        /// What was asked for.
        url: String,
        /// Where it points.
        to: String,
        /// What is wrong with that.
        why: &'static str,
    },
    /// The server sent something that cannot be right, and may be an attack.
    #[error("the server sent \"{value}\" as {what}")]
    Hostile {
        /// What it stands for.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// The bytes are not the announced ones.
    #[error("{file} has hash {found}, expected {expected}")]
    Hash {
        /// Which file.
        file: String,
        /// What was announced.
        expected: String,
        /// What arrived.
        found: String,
    },
    /// A file of the cache could not be read or made.
    #[error("cannot use {} in the cache: {source}", path.display())]
    Cache {
        /// Which one.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl HubError {
    /// Whether trying again soon can help.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Network { source, .. } => !matches!(
                **source,
                ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::LargeResponseHeader(..)
            ),
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Cut { .. } => true,
            _ => false,
        }
    }
}

impl Faulty for HubError {
    fn fault(&self) -> Fault {
        match self {
            Self::Repo { .. }
            | Self::Revision { .. }
            | Self::Endpoint { .. }
            | Self::NothingWanted { .. }
            | Self::NotFound { .. } => Fault::Input,
            Self::Offline { .. }
            | Self::Refused { .. }
            | Self::Status { .. }
            | Self::Network { .. }
            | Self::Cut { .. }
            | Self::Redirect { .. }
            | Self::Hostile { .. }
            | Self::Hash { .. }
            | Self::Cache { .. } => Fault::Environment,
            Self::Write(error) => error.fault(),
            Self::Cancelled(_) => Fault::Interrupted,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Offline { .. } => "run once with a connection, or unset HF_HUB_OFFLINE",
            Self::Refused { with_token: false, .. } => {
                "the repository is gated, private or misspelt: accept its terms on its page, then set HF_TOKEN"
            }
            Self::Refused { with_token: true, .. } => {
                "the token in HF_TOKEN is not allowed to read it: accept the terms on the repository's page"
            }
            Self::NotFound { .. } | Self::Repo { .. } => {
                "compare the name with the address of the repository's page"
            }
            Self::NothingWanted { .. } => "look at the repository's list of files",
            Self::Status { status: 429, .. } => "the server asks for patience; try again in some minutes",
            Self::Network { .. } | Self::Status { .. } | Self::Cut { .. } => {
                "check the connection and run it again: what has been fetched is kept"
            }
            Self::Hash { .. } => {
                "the broken download was removed; run it again, and mistrust the server if it recurs"
            }
            Self::Hostile { .. } | Self::Redirect { .. } => {
                "do not trust this endpoint; use https://huggingface.co"
            }
            Self::Cache { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some disk space and run it again: what has been fetched is kept"
            }
            Self::Cache { .. } => "set HF_HUB_CACHE to a folder you may write to",
            Self::Write(error) => return error.hint(),
            Self::Revision { .. } | Self::Endpoint { .. } | Self::Cancelled(_) => return None,
        };
        Some(hint.to_owned())
    }
}
