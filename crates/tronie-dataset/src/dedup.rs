//! Duplicates in folders of pictures: within them, across splits, and against what was built before.
//!
//! Nothing is deleted. What was seen in a picture is kept by the hash of its file (in `annotations/` of a dataset, in
//! `.tronie/annotations/` of any other folder), so that a second search looks only at new pictures. Pairs that a person
//! calls different are remembered by the hashes of their pixels in `different.jsonl`.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tronie_base::Progress;
use tronie_faces::{AnnotatorRow, Taste, pictures_below};

use crate::BuildError;
use crate::annotations::{Annotations, Look, Looked, Reading};
use crate::curate::look;
use crate::disk::{Disk as _, RealDisk, hash_file, io_error};
use crate::fingerprint::Fingerprint;
use crate::folder::{DATASET, IMAGES, METADATA, write_bytes};
use crate::likeness::{Likeness, Limits, Pair, Print, alike, best};
use crate::measurer::Measurer;
use crate::measures::{Measured, TASTE};

/// Where a folder that is no dataset keeps what was seen.
const OWN: &str = ".tronie";

/// Where to search and what counts.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// Folders of pictures; of a dataset its images. Each is a split for the search for leaks.
    pub folders: &'a [PathBuf],
    /// Folders whose pictures always stay.
    pub earlier: &'a [PathBuf],
    /// File of the pairs that a person calls different; one that is not there holds none.
    pub different: &'a Path,
    /// From when on pictures are alike.
    pub limits: Limits,
    /// The annotators of the measurer.
    pub annotators: &'a [&'static AnnotatorRow],
    /// By whose taste the best one is kept; without, the one with the larger and then the sharper face.
    pub taste: Option<&'a Taste>,
}

/// A picture that repeats another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Repeat {
    /// The picture.
    pub file: PathBuf,
    /// The one that is kept.
    pub of: PathBuf,
    /// How they are alike.
    pub likeness: Likeness,
    /// Position in `folders` of the folder that it is in.
    #[serde(skip)]
    pub folder_index: usize,
}

/// Two pictures that should not be alike.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trouble {
    /// The two.
    pub files: [PathBuf; 2],
    /// How they are alike.
    pub likeness: Likeness,
    /// Their labels, where these are the trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<[String; 2]>,
}

/// What a search has found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Findings {
    /// Pictures that were compared.
    pub n_pictures: usize,
    /// Files that are no readable pictures.
    pub broken: Vec<PathBuf>,
    /// Pictures that repeat a better or earlier one.
    pub repeats: Vec<Repeat>,
    /// The same picture, or face, in two of the folders.
    pub leaks: Vec<Trouble>,
    /// The same picture with two labels.
    pub conflicts: Vec<Trouble>,
}

struct Picture {
    path: PathBuf,
    folder_index: usize,
    /// What it is called in its folder; absent where nothing says.
    label: Option<String>,
    /// Larger is better.
    score: [f32; 2],
}

/// Finds duplicates, leaks between folders, and pictures with two labels.
///
/// # Errors
/// [`BuildError`] for folders that cannot be read, failing annotators, too many pairs, or a stop.
pub fn search(
    search: &Search<'_>,
    measurer: &mut dyn Measurer,
    progress: &mut dyn Progress,
) -> Result<Findings, BuildError> {
    let (mut pictures, mut prints, mut broken) = (Vec::new(), Vec::new(), Vec::new());
    for (folder_index, folder) in search.folders.iter().chain(search.earlier).enumerate() {
        let found = pictures_of(search, (folder_index, folder), (&mut *measurer, &mut *progress))?;
        for (picture, path) in found {
            match picture {
                Some((picture, print)) => {
                    pictures.push(picture);
                    prints.push(print);
                }
                None => broken.push(path),
            }
        }
    }
    let mut pairs = alike(&prints, search.limits, progress)?;
    let different = read_different(search.different)?;
    pairs.retain(|pair| !different.contains(&pixels_of(&prints, pair)));

    let is_earlier = |picture: &Picture| picture.folder_index >= search.folders.len();
    let mut order: Vec<usize> = (0..pictures.len()).collect();
    order.sort_by(|a, b| {
        let [a, b] = [a, b].map(|&index| pictures.get(index));
        let rank = |picture: Option<&Picture>| picture.map(|picture| (!is_earlier(picture), picture.score));
        let ((a_late, a), (b_late, b)) = rank(a).zip(rank(b)).unwrap_or_default();
        let by_score = || a.iter().zip(b).map(|(a, b)| b.total_cmp(a)).find(|order| order.is_ne());
        a_late.cmp(&b_late).then_with(|| by_score().unwrap_or(std::cmp::Ordering::Equal))
    });
    let repeats = best(pictures.len(), &pairs, &order).into_iter().enumerate();
    let repeat = |(index, pair): (usize, Option<Pair>)| {
        let pair = pair?;
        let [this, kept] = [index, pair.a + pair.b - index].map(|index| pictures.get(index));
        let (this, kept) = this.filter(|this| !is_earlier(this)).zip(kept)?;
        let (file, of, folder_index) = (this.path.clone(), kept.path.clone(), this.folder_index);
        Some(Repeat { file, of, likeness: pair.likeness, folder_index })
    };
    Ok(Findings {
        n_pictures: pictures.len(),
        broken,
        repeats: repeats.filter_map(repeat).collect(),
        leaks: troubles(&pictures, &pairs, |pair, [a, b]| {
            let is_leak = a.folder_index != b.folder_index && !is_earlier(a) && !is_earlier(b);
            is_leak.then(|| trouble(pair, [a, b], None))
        }),
        conflicts: troubles(&pictures, &pairs, |pair, [a, b]| {
            // Two pictures of one face may well have two labels.
            let is_picture = !matches!(pair.likeness, Likeness::Cosine(_));
            let labels = [a.label.clone()?, b.label.clone()?];
            (is_picture && labels[0] != labels[1]).then(|| trouble(pair, [a, b], Some(labels)))
        }),
    })
}

fn troubles(
    pictures: &[Picture],
    pairs: &[Pair],
    find: impl Fn(&Pair, [&Picture; 2]) -> Option<Trouble>,
) -> Vec<Trouble> {
    pairs.iter().filter_map(|pair| find(pair, [pictures.get(pair.a)?, pictures.get(pair.b)?])).collect()
}

fn trouble(pair: &Pair, [a, b]: [&Picture; 2], labels: Option<[String; 2]>) -> Trouble {
    Trouble { files: [a.path.clone(), b.path.clone()], likeness: pair.likeness, labels }
}

/// A picture, or `None` for a file that is none, and the file.
type Opened = (Option<(Picture, Print)>, PathBuf);

/// What lies in a folder.
fn pictures_of(
    search: &Search<'_>,
    (folder_index, folder): (usize, &Path),
    (measurer, progress): (&mut dyn Measurer, &mut dyn Progress),
) -> Result<Vec<Opened>, BuildError> {
    let is_dataset = folder.join(DATASET).exists();
    let below = if is_dataset { folder.join(IMAGES) } else { folder.to_owned() };
    let names = pictures_below(&below).map_err(BuildError::Pictures)?;
    let labels = labels(folder)?;
    let paths: Vec<PathBuf> = names.iter().map(|name| below.join(name)).collect();
    let hash = |path: &PathBuf| hash_file(path).map_err(|source| io_error(path, source));
    let hashes: Vec<(String, u64)> = paths.par_iter().map(hash).collect::<Result<_, _>>()?;
    let keep_in = if is_dataset { folder.to_owned() } else { folder.join(OWN) };
    let reading = Reading { annotators: search.annotators, taste: search.taste };
    let mut annotations = Annotations::open(&keep_in, &measurer.identity(), reading, "dedup")?;
    let new = paths.iter().zip(&hashes).map(|(path, (hash, _))| (path.as_path(), hash.as_str()));
    look(&mut RealDisk, new, &mut annotations, (measurer, progress))?;
    let picture = |(path, hash): (&PathBuf, &String), name: &String| {
        let Some(Looked::Seen(look)) = annotations.get(hash) else { return None };
        let named = if is_dataset { format!("{IMAGES}/{name}") } else { name.clone() };
        let of_folder = || name.rsplit_once('/').map(|(folder, _)| folder.to_owned());
        let label = labels.get(&named).cloned().or_else(of_folder);
        Some((Picture { path: path.clone(), folder_index, label, score: score(look) }, print(look)))
    };
    let pictures = paths.iter().zip(&hashes).zip(&names);
    Ok(pictures.map(|((path, (hash, _)), name)| (picture((path, hash), name), path.clone())).collect())
}

fn print(look: &Look) -> Print {
    let Fingerprint { pixels_sha256, hash } = look.fingerprint.clone();
    Print { pixels_sha256, hash, embedding: look.embedding.clone() }
}

/// What the best picture has most of.
fn score(look: &Look) -> [f32; 2] {
    let number = |id: &str| match look.measures.get(id) {
        Some(Measured::Number(value)) => Some(*value),
        _ => None,
    };
    match number(TASTE) {
        Some(good) => [good, 0.0],
        None => ["face_px", "sharpness"].map(|id| number(id).unwrap_or(0.0)),
    }
}

/// Labels by file name: the attributes of `metadata.jsonl`, where there is one that has any.
fn labels(folder: &Path) -> Result<HashMap<String, String>, BuildError> {
    #[derive(Deserialize)]
    struct Line {
        file_name: String,
        attributes: serde_json::Value,
    }
    let path = folder.join(METADATA);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
        file => file.map_err(|source| io_error(&path, source))?,
    };
    let mut labels = HashMap::new();
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(|source| io_error(&path, source))?;
        // Metadata of others may have other columns.
        if let Ok(Line { file_name, attributes }) = serde_json::from_slice(&line) {
            labels.insert(file_name, attributes.to_string());
        }
    }
    Ok(labels)
}

/// A pair that a person calls different, by the hashes of their pixels.
#[derive(Serialize, Deserialize)]
struct Different {
    pixels_sha256: [String; 2],
}

fn pixels_of(prints: &[Print], pair: &Pair) -> [String; 2] {
    let mut pixels = [pair.a, pair.b]
        .map(|index| prints.get(index).map(|print| print.pixels_sha256.clone()).unwrap_or_default());
    pixels.sort();
    pixels
}

fn read_different(path: &Path) -> Result<HashSet<[String; 2]>, BuildError> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashSet::new()),
        text => text.map_err(|source| io_error(path, source))?,
    };
    let broken = |source| BuildError::BadRecord { path: path.to_owned(), source };
    let lines = text.lines().map(|line| serde_json::from_str::<Different>(line).map_err(broken));
    lines.map(|line| Ok(line?.pixels_sha256)).collect()
}

/// Remembers that two pictures are different, whatever they look like to a search.
///
/// # Errors
/// [`BuildError`] for files that are no pictures, or a list that cannot be written.
pub fn remember_different(list: &Path, files: [&Path; 2]) -> Result<(), BuildError> {
    let pixels = files.map(|path| Ok(Fingerprint::of(&tronie_image::open(path)?)?.pixels_sha256));
    let [a, b]: [Result<String, BuildError>; 2] = pixels;
    let mut pixels_sha256 = [a?, b?];
    pixels_sha256.sort();
    let mut text = match fs::read_to_string(list) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.map_err(|source| io_error(list, source))?,
    };
    // Strings always serialize.
    text.push_str(&serde_json::to_string(&Different { pixels_sha256 }).unwrap_or_default());
    text.push('\n');
    write_bytes(&mut RealDisk, list, text.as_bytes())
}

/// Moves pictures that repeat others into a folder, each under the number of its folder and its name below it.
///
/// # Errors
/// [`BuildError`] when a file cannot be moved, or one of its name is there already.
pub fn set_aside(folders: &[PathBuf], repeats: &[Repeat], to: &Path) -> Result<(), BuildError> {
    for repeat in repeats {
        let folder = folders.get(repeat.folder_index).map_or(Path::new(""), PathBuf::as_path);
        let name = repeat.file.strip_prefix(folder).unwrap_or(&repeat.file);
        let target = to.join(format!("{}", repeat.folder_index + 1)).join(name);
        if target.exists() {
            return Err(io_error(&target, io::ErrorKind::AlreadyExists.into()));
        }
        RealDisk.rename(&repeat.file, &target)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
