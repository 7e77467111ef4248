//! What is in a revision: one request lists all files with their sizes and hashes.

use serde::Deserialize;
use tronie_base::Progress;

use super::http::{Client, text};
use super::names::{Revision, is_commit, is_hex, is_safe_path, percent_encoded, shown};
use super::{HubError, RepoId};

/// The hash a file is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// SHA-256 of the bytes: files kept in git LFS.
    Sha256(String),
    /// git's blob id, SHA-1 of a short header and the bytes: all others.
    GitBlob(String),
    /// The server names none; only the size can be compared.
    Unknown,
}

impl Identity {
    fn parse(etag: &str) -> Option<Self> {
        let bare = etag.trim().trim_start_matches("W/").trim_matches('"').to_ascii_lowercase();
        match bare.len() {
            64 if is_hex(&bare, 64) => Some(Self::Sha256(bare)),
            40 if is_hex(&bare, 40) => Some(Self::GitBlob(bare)),
            _ => None,
        }
    }
}

/// A file of a revision.
#[derive(Debug, Clone)]
pub(super) struct RemoteFile {
    /// Its path inside the repository; safe to join to a folder.
    pub(super) path: String,
    pub(super) size: Option<u64>,
    pub(super) identity: Identity,
}

/// A revision.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<RemoteFile>,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

/// More than any repository's list of files.
const MAX_LISTING_BYTES: u64 = 32 << 20;

/// Asks what a revision holds.
pub(super) fn fetch(
    client: &Client,
    repo: &RepoId,
    revision: &Revision,
    progress: &mut dyn Progress,
) -> Result<Listing, HubError> {
    let revision = percent_encoded(revision.as_str(), '-');
    let url = client.url(&format!("api/models/{repo}/revision/{revision}?blobs=true"));
    let body = client.persistently(progress, |_| {
        let body = client.get(&url, 0).and_then(|mut answer| {
            let body = answer.body_mut().with_config().limit(MAX_LISTING_BYTES).read_to_vec();
            body.map_err(|source| HubError::Network { url: url.clone(), source: Box::new(source) })
        });
        (false, body)
    })?;
    let answer: Answer = serde_json::from_slice(&body).map_err(|_| HubError::Hostile {
        what: "its list of files",
        value: shown(&String::from_utf8_lossy(&body)),
    })?;
    if !is_commit(&answer.sha) {
        return Err(hostile("a commit", &answer.sha));
    }
    let files = answer.siblings.into_iter().map(checked).collect::<Result<_, _>>()?;
    Ok(Listing { commit: answer.sha, files })
}

fn hostile(what: &'static str, value: &str) -> HubError {
    HubError::Hostile { what, value: shown(value) }
}

fn checked(sibling: Sibling) -> Result<RemoteFile, HubError> {
    if !is_safe_path(&sibling.rfilename) {
        return Err(hostile("a file's path", &sibling.rfilename));
    }
    let (lfs_hash, lfs_size) = sibling.lfs.map_or((None, None), |lfs| (lfs.sha256, lfs.size));
    let identity = match lfs_hash.or(sibling.blob_id) {
        Some(hash) => Identity::parse(&hash).ok_or_else(|| hostile("a file's hash", &hash))?,
        None => Identity::Unknown,
    };
    Ok(RemoteFile { path: sibling.rfilename, size: lfs_size.or(sibling.size), identity })
}

/// The address of a file.
pub(super) fn url(client: &Client, repo: &RepoId, commit: &str, path: &str) -> String {
    client.url(&format!("{repo}/resolve/{commit}/{}", percent_encoded(path, '/')))
}

/// Asks the file's own address for the size and hash a listing without blobs did not tell.
pub(super) fn completed(client: &Client, url: &str, file: &RemoteFile) -> Result<RemoteFile, HubError> {
    let answer = client.head(url)?;
    if let Some(commit) = text(&answer, "x-repo-commit").filter(|commit| !is_commit(commit)) {
        return Err(hostile("a commit", commit));
    }
    let etag = text(&answer, "x-linked-etag").or_else(|| text(&answer, "etag"));
    // A redirect's own length is not the file's.
    let own_length = || text(&answer, "content-length").filter(|_| answer.status().is_success());
    let size = text(&answer, "x-linked-size").or_else(own_length);
    Ok(RemoteFile {
        path: file.path.clone(),
        size: file.size.or_else(|| size?.parse().ok()),
        identity: etag.and_then(Identity::parse).unwrap_or(Identity::Unknown),
    })
}
