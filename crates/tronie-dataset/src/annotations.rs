//! What was seen in candidates, kept by (hash of the picture, who looked).
//!
//! `annotations/<identity>.jsonl` has a line for each picture: everything the annotators said. Whatever changes in a spec's
//! rules, no picture is looked at twice by the same annotators. While a build runs, its lines are in a file of its own
//! beside it; values are always used as they are read back, so that a continued build decides as one that never stopped.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tronie_faces::{AnnotatorRow, Seen, Taste, largest_known};

use crate::BuildError;
use crate::disk::{Disk, io_error};
use crate::fingerprint::Fingerprint;
use crate::folder::names;
use crate::measures::{Measured, Measures, TASTE, measures};

/// Folder of the lines.
pub(crate) const ANNOTATIONS: &str = "annotations";
/// Changes when lines hold something else.
const VERSION: &str = "tronie annotations 1";

/// What a decision needs to know about a picture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Looked {
    /// It was looked at.
    Seen(Box<Look>),
    /// It is no readable picture.
    Broken(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Look {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) measures: Measures,
    /// Of the largest face that has one.
    pub(crate) embedding: Option<Vec<f32>>,
}

/// One line.
#[derive(Serialize, Deserialize)]
pub(crate) struct Line {
    /// Of the file.
    pub(crate) sha256: String,
    #[serde(flatten)]
    pub(crate) content: Content,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Content {
    Seen {
        pixels_sha256: String,
        /// Sixteen hexadecimal digits.
        perceptual_hash: String,
        #[serde(flatten)]
        seen: Seen,
    },
    Broken {
        error: String,
    },
}

/// How lines become [`Looked`].
pub(crate) struct Reading<'a> {
    pub(crate) annotators: &'a [&'static AnnotatorRow],
    pub(crate) taste: Option<&'a Taste>,
}

impl Reading<'_> {
    fn read(&self, line: Line) -> Option<(String, Looked)> {
        let looked = match line.content {
            Content::Broken { error } => Looked::Broken(error),
            Content::Seen { pixels_sha256, perceptual_hash, seen } => {
                let hash = u64::from_str_radix(&perceptual_hash, 16).ok()?;
                let mut measures = measures(&seen, self.annotators);
                if let Some(taste) = self.taste {
                    #[expect(clippy::cast_possible_truncation, reason = "a probability")]
                    let good = taste.judge(&seen).good as f32;
                    measures.insert(TASTE.to_owned(), Measured::Number(good));
                }
                let embedding = largest_known(&seen.faces).map(|(_, embedding)| embedding.values.clone());
                Looked::Seen(Box::new(Look {
                    fingerprint: Fingerprint { pixels_sha256, hash },
                    measures,
                    embedding,
                }))
            }
        };
        Some((line.sha256, looked))
    }
}

/// Where a line is.
#[derive(Debug, Clone, Copy)]
struct Place {
    file_index: usize,
    offset: u64,
    n_bytes: usize,
}

/// The lines of one identity.
pub(crate) struct Annotations<'a> {
    folder: PathBuf,
    key: String,
    reading: Reading<'a>,
    /// The last one is this build's own.
    files: Vec<PathBuf>,
    own_bytes: u64,
    places: HashMap<String, Place>,
    looked: HashMap<String, Looked>,
}

impl<'a> Annotations<'a> {
    /// Reads what is known. `own` tells the files of builds apart whose folders may be copied into one.
    pub(crate) fn open(
        dataset: &Path,
        identity: &BTreeMap<String, Option<String>>,
        reading: Reading<'a>,
        own: &str,
    ) -> Result<Self, BuildError> {
        let text = serde_json::to_string(identity).unwrap_or_default();
        let key: String =
            tronie_base::sha256_hex(format!("{VERSION}\n{text}").as_bytes()).chars().take(16).collect();
        let folder = dataset.join(ANNOTATIONS);
        let own = folder.join(format!("{key}-{own}.jsonl"));
        let is_ours = |name: &String| name.starts_with(&key) && name.ends_with(".jsonl");
        let mut files: Vec<PathBuf> =
            names(&folder)?.into_iter().filter(is_ours).map(|name| folder.join(name)).collect();
        files.retain(|path| *path != own);
        files.push(own);
        let mut annotations = Self {
            folder,
            key,
            reading,
            files,
            own_bytes: 0,
            places: HashMap::new(),
            looked: HashMap::new(),
        };
        for index in 0..annotations.files.len() {
            annotations.read_file(index)?;
        }
        Ok(annotations)
    }

    fn read_file(&mut self, file_index: usize) -> Result<(), BuildError> {
        let Some(path) = self.files.get(file_index) else { return Ok(()) };
        let fail = |source| io_error(path, source);
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file.map_err(fail)?,
        };
        let (mut offset, mut text) = (0, Vec::new());
        let mut reader = BufReader::new(file);
        loop {
            text.clear();
            let n_bytes = reader.read_until(b'\n', &mut text).map_err(fail)?;
            if n_bytes == 0 {
                break;
            }
            // A line cut short is left out; its picture is looked at again.
            let line = serde_json::from_slice::<Line>(&text).ok().filter(|_| text.ends_with(b"\n"));
            if let Some((sha256, looked)) = line.and_then(|line| self.reading.read(line)) {
                self.places.insert(sha256.clone(), Place { file_index, offset, n_bytes });
                self.looked.insert(sha256, looked);
            }
            offset += n_bytes as u64;
        }
        if file_index + 1 == self.files.len() {
            self.own_bytes = offset;
        }
        Ok(())
    }

    pub(crate) fn get(&self, sha256: &str) -> Option<&Looked> {
        self.looked.get(sha256)
    }

    /// Adds a line, durably.
    pub(crate) fn add(&mut self, disk: &mut dyn Disk, line: &Line) -> Result<(), BuildError> {
        let Some(own) = self.files.last() else { return Ok(()) };
        if self.own_bytes == 0 {
            fs::create_dir_all(&self.folder).map_err(|source| io_error(&self.folder, source))?;
        }
        let text = serde_json::to_string(line)
            .map_err(|source| BuildError::BadRecord { path: own.clone(), source })?;
        // A line that a killed build has cut short is ended by the empty one.
        disk.append(own, format!("\n{text}\n").as_bytes())?;
        let n_bytes = text.len() + 1;
        let file_index = self.files.len() - 1;
        let fresh = serde_json::from_str::<Line>(&text).ok().and_then(|line| self.reading.read(line));
        if let Some((sha256, looked)) = fresh {
            self.places.insert(sha256.clone(), Place { file_index, offset: self.own_bytes + 1, n_bytes });
            self.looked.insert(sha256, looked);
        }
        self.own_bytes += n_bytes as u64 + 1;
        Ok(())
    }

    /// Brings the lines of some pictures together in their order, and removes the files of builds. Returns the file's name
    /// below the dataset.
    pub(crate) fn finish<'s>(
        &self,
        disk: &mut dyn Disk,
        hashes: impl Iterator<Item = &'s str>,
    ) -> Result<String, BuildError> {
        let name = format!("{}.jsonl", self.key);
        let path = self.folder.join(&name);
        let mut sources: Vec<Option<File>> = self.files.iter().map(|path| File::open(path).ok()).collect();
        let mut written = HashSet::new();
        let hashes = hashes.filter(|hash| written.insert(*hash));
        let places: Vec<Place> = hashes.filter_map(|hash| self.places.get(hash)).copied().collect();
        disk.write(&path, &mut |file| {
            for place in &places {
                let source = sources.get_mut(place.file_index).and_then(Option::as_mut);
                let source = source.ok_or(io::ErrorKind::NotFound)?;
                source.seek(SeekFrom::Start(place.offset))?;
                let mut text = vec![0; place.n_bytes];
                source.read_exact(&mut text)?;
                file.write_all(&text)?;
            }
            Ok(())
        })?;
        for other in self.files.iter().filter(|other| **other != path) {
            disk.remove(other)?;
        }
        Ok(format!("{ANNOTATIONS}/{name}"))
    }
}
