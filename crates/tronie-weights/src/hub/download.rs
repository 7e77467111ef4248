//! One file: from the first missing byte to a blob whose hash is right.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha1::Sha1;
use sha2::{Digest, Sha256};
use tronie_base::{Progress, hex};
use ureq::Body;
use ureq::http::Response;

use super::cache::{RepoCache, blob_name};
use super::http::{Client, text};
use super::listing::{self, Identity, RemoteFile};
use super::names::shown;
use super::{HubError, RepoId};

const CHUNK_BYTES: usize = 1 << 20;

/// The blob of a file (repository, commit, file), fetched unless it is there.
pub(super) fn blob(
    client: &Client,
    cache: &RepoCache,
    (repo, commit, file): (&RepoId, &str, &RemoteFile),
    progress: &mut dyn Progress,
) -> Result<PathBuf, HubError> {
    let url = listing::url(client, repo, commit, &file.path);
    let mut file = file.clone();
    if file.identity == Identity::Unknown {
        file = client.persistently(progress, |_| (false, listing::completed(client, &url, &file)))?;
    }
    // Without a hash, the partial file is known by where it comes from.
    let key = match blob_name(&file.identity) {
        Some(name) => name.to_owned(),
        None => hex(&Sha256::digest(url.as_bytes())),
    };
    let _lock = cache.lock(&key, progress)?;
    let finished = cache.blob(&key);
    let is_whole = |found: fs::Metadata| file.size.is_none_or(|size| size == found.len());
    if file.identity != Identity::Unknown && fs::metadata(&finished).is_ok_and(is_whole) {
        return Ok(finished);
    }
    let partial = cache.blob(&format!("{key}.incomplete"));
    let fail = |source| at(&partial, source);
    if let Some(folder) = partial.parent() {
        fs::create_dir_all(folder).map_err(fail)?;
    }
    let options = File::options().read(true).write(true).create(true).truncate(false).open(&partial);
    let mut download = Download { file: &file, path: &partial, output: options.map_err(fail)? };
    download.fetch(client, &url, progress)?;
    let hash = download.verified(progress)?;
    let finished = if file.identity == Identity::Unknown {
        progress
            .note(&format!("{}: the server names no hash, so only its size was checked", shown(&file.path)));
        cache.blob(&hash)
    } else {
        finished
    };
    download.output.sync_all().map_err(fail)?;
    fs::rename(&partial, &finished).map_err(fail)?;
    Ok(finished)
}

fn at(path: &Path, source: io::Error) -> HubError {
    HubError::Cache { path: path.to_owned(), source }
}

struct Download<'a> {
    file: &'a RemoteFile,
    path: &'a Path,
    output: File,
}

impl Download<'_> {
    /// Gets all bytes, whatever number of connections that takes.
    fn fetch(&mut self, client: &Client, url: &str, progress: &mut dyn Progress) -> Result<(), HubError> {
        let mut here = self.length()?;
        if self.file.size.is_some_and(|size| here > size) {
            here = self.restart()?;
        }
        progress.begin(&format!("fetching {}", shown(&self.file.path)), self.file.size.unwrap_or_default());
        progress.advance(here);
        if here > 0 && self.file.size == Some(here) {
            return Ok(());
        }
        client.persistently(progress, |progress| {
            let before = self.length().unwrap_or_default();
            let result = self.fetch_once(client, url, progress);
            let got_on = self.length().is_ok_and(|now| now > before);
            (got_on, result)
        })
    }

    fn fetch_once(
        &mut self,
        client: &Client,
        url: &str,
        progress: &mut dyn Progress,
    ) -> Result<(), HubError> {
        let mut here = self.length()?;
        if self.file.size == Some(here) && here > 0 {
            return Ok(());
        }
        let mut answer = client.get(url, here)?;
        if answer.status() == 416 && here == 0 {
            return Err(HubError::Status { url: shown(url), status: 416 });
        }
        if answer.status() == 416 {
            // What is here is not the beginning of what is there.
            here = self.restart()?;
            answer = client.get(url, here)?;
        }
        if here > 0 && continues_at(&answer) != Some(here) {
            here = self.restart()?;
            if answer.status() == 206 {
                answer = client.get(url, here)?;
            }
        }
        let length = text(&answer, "content-length").and_then(|length| length.parse::<u64>().ok());
        let announced = length.and_then(|length| length.checked_add(here));
        let expected = self.file.size.or(announced);
        self.copy(url, (here, expected), answer, progress)
    }

    /// Writes an answer behind the `here` bytes that are there.
    fn copy(
        &mut self,
        url: &str,
        (mut here, expected): (u64, Option<u64>),
        answer: Response<Body>,
        progress: &mut dyn Progress,
    ) -> Result<(), HubError> {
        self.output.seek(SeekFrom::Start(here)).map_err(|source| at(self.path, source))?;
        let mut reader = answer.into_body().into_reader();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            progress.check()?;
            let n = match reader.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(HubError::Network {
                        url: shown(url.split('?').next().unwrap_or_default()),
                        source: Box::new(ureq::Error::Io(source)),
                    });
                }
            };
            here = here.saturating_add(n as u64);
            if let Some(expected) = expected.filter(|&expected| here > expected) {
                self.restart()?;
                return Err(HubError::Hostile {
                    what: "more bytes than it announced for a file",
                    value: format!("{} ({expected} bytes)", shown(&self.file.path)),
                });
            }
            let bytes = chunk.get(..n).unwrap_or_default();
            self.output.write_all(bytes).map_err(|source| at(self.path, source))?;
            progress.advance(n as u64);
        }
        match expected {
            Some(expected) if here < expected => {
                Err(HubError::Cut { file: shown(&self.file.path), found: here, expected })
            }
            _ => Ok(()),
        }
    }

    fn length(&self) -> Result<u64, HubError> {
        let found = self.output.metadata().map_err(|source| at(self.path, source))?;
        Ok(found.len())
    }

    /// Forgets the bytes that are here.
    fn restart(&mut self) -> Result<u64, HubError> {
        self.output.set_len(0).map_err(|source| at(self.path, source))?;
        Ok(0)
    }

    /// The hash of the finished file, which is the announced one; a file with another is removed.
    fn verified(&mut self, progress: &mut dyn Progress) -> Result<String, HubError> {
        let size = self.length()?;
        progress.begin(&format!("checking {}", shown(&self.file.path)), size);
        self.output.seek(SeekFrom::Start(0)).map_err(|source| at(self.path, source))?;
        let (expected, found) = match &self.file.identity {
            Identity::Sha256(expected) => (Some(expected), self.hashed(Sha256::new(), progress)?),
            Identity::GitBlob(expected) => {
                let header = format!("blob {size}\0");
                (Some(expected), self.hashed(Sha1::new().chain_update(header), progress)?)
            }
            Identity::Unknown => (None, self.hashed(Sha256::new(), progress)?),
        };
        match expected {
            Some(expected) if *expected != found => {
                fs::remove_file(self.path).map_err(|source| at(self.path, source))?;
                Err(HubError::Hash { file: shown(&self.file.path), expected: expected.clone(), found })
            }
            _ => Ok(found),
        }
    }

    fn hashed(&mut self, mut hasher: impl Digest, progress: &mut dyn Progress) -> Result<String, HubError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            progress.check()?;
            let n = self.output.read(&mut chunk).map_err(|source| at(self.path, source))?;
            if n == 0 {
                return Ok(hex(&hasher.finalize()));
            }
            hasher.update(chunk.get(..n).unwrap_or_default());
            progress.advance(n as u64);
        }
    }
}

/// The byte a partial answer begins with: `Content-Range: bytes 100-199/200`.
fn continues_at(answer: &Response<Body>) -> Option<u64> {
    let range = text(answer, "content-range").filter(|_| answer.status() == 206)?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
