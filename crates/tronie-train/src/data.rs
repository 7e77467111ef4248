//! Pictures and captions as people keep them, read as they are.
//!
//! A folder may be
//! - pictures, each with its caption in a text file of the same name (`a.png`, `a.txt` or `a.caption`);
//! - an imagefolder: pictures, also in subfolders, and a `metadata.jsonl` with `file_name` and `text` or `caption`
//!   (Hugging Face datasets);
//! - kohya's: subfolders named `<repeats>_<caption>` (`10_sks person`), each with pictures.

mod buckets;
mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tronie_image::{ImageFormat, Pixels};

use crate::TrainError;

pub use buckets::Buckets;
pub(crate) use order::{Draw, Order};

/// Ends of caption files, in the order in which they are looked for.
const CAPTION_EXTENSIONS: [&str; 2] = ["txt", "caption"];
const METADATA: &str = "metadata.jsonl";

/// What a picture is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// What is to be learned.
    #[default]
    Subject,
    /// What must not be forgotten: regularization pictures of prior preservation.
    Class,
}

/// A folder of pictures, as a recipe names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSet {
    /// The folder.
    pub folder: PathBuf,
    /// Caption of pictures that have none of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Whether pictures' own captions are used where there are any.
    #[serde(default = "yes")]
    pub own_captions: bool,
    /// Folder of masks: for each picture a grey one of its name (`a.jpg`, `a.png`) and size, white where it counts and black
    /// where it does not. Everything counts when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masks: Option<PathBuf>,
    /// What the pictures are for.
    #[serde(default)]
    pub role: Role,
    /// How often each picture counts in an epoch, 1 or more. A kohya folder's own number wins.
    #[serde(default = "once")]
    pub repeats: u32,
}

fn yes() -> bool {
    true
}

fn once() -> u32 {
    1
}

/// A picture that can be trained on.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Where it is.
    pub path: PathBuf,
    /// What it shows, in words.
    pub caption: String,
    /// What of it counts, white on black.
    pub mask: Option<PathBuf>,
    /// How often it counts in an epoch.
    pub repeats: u32,
    /// What it is for.
    pub role: Role,
    /// Width and height in pixels.
    pub size_px: [u32; 2],
}

/// What a scan found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scan {
    /// In the order of sets, then of names.
    pub examples: Vec<Example>,
    /// Pictures that cannot be read, and why.
    pub skipped: Vec<(PathBuf, String)>,
}

/// Reads all sets. Pictures that cannot be read are left out and reported.
///
/// # Errors
/// [`TrainError::Data`] for a folder that is missing or holds no picture, a picture without any caption, and a caption
/// without its picture.
pub fn scan(sets: &[ImageSet]) -> Result<Scan, TrainError> {
    let mut scan = Scan::default();
    for set in sets {
        let found = scan.examples.len();
        let subfolders = kohya_folders(&set.folder)?;
        if subfolders.is_empty() {
            scan.folder(&set.folder, set)?;
        }
        for (folder, repeats, caption) in subfolders {
            let set = ImageSet { repeats, caption: Some(caption), ..set.clone() };
            scan.folder(&folder, &set)?;
        }
        if scan.examples.len() == found {
            let n = scan.skipped.len();
            let problem =
                if n == 0 { "holds no picture".to_owned() } else { format!("{n} pictures, none readable") };
            return Err(TrainError::data(&set.folder, problem, "put png, jpeg or webp files there"));
        }
    }
    Ok(scan)
}

impl Scan {
    fn folder(&mut self, folder: &Path, set: &ImageSet) -> Result<(), TrainError> {
        let captions = metadata(folder)?;
        let listed = captions.keys().cloned();
        for path in files(folder)?.into_iter().chain(listed).collect::<BTreeSet<_>>() {
            if ImageFormat::from_path(&path).is_err() {
                continue;
            }
            if !path.is_file() {
                let problem = format!("names {}, which is not there", path.display());
                let hint = "remove its line, or put the picture back";
                return Err(TrainError::data(&folder.join(METADATA), problem, hint));
            }
            let listed = captions.get(&path).cloned();
            let own = if set.own_captions { listed.or(caption_file(&path)?) } else { None };
            let caption = own.or_else(|| set.caption.clone()).ok_or_else(|| {
                let hint = "write it into a .txt file of the same name, or give the set a caption";
                TrainError::data(&path, "has no caption".to_owned(), hint)
            })?;
            match tronie_image::open(&path) {
                Ok(pixels) => self.examples.push(Example {
                    mask: set.masks.as_ref().map(|masks| mask(masks, &path, &pixels)).transpose()?,
                    path,
                    caption,
                    repeats: set.repeats.max(1),
                    role: set.role,
                    size_px: [pixels.width_px(), pixels.height_px()],
                }),
                Err(error) => self.skipped.push((path, error.to_string())),
            }
        }
        Ok(())
    }
}

/// (folder, repeats, caption) of subfolders named `<repeats>_<caption>`.
fn kohya_folders(folder: &Path) -> Result<Vec<(PathBuf, u32, String)>, TrainError> {
    let mut found = Vec::new();
    for path in files(folder)? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let parts = name.split_once('_').filter(|_| path.is_dir());
        if let Some((Ok(repeats), caption)) = parts.map(|(n, caption)| (n.parse::<u32>(), caption.to_owned()))
        {
            found.push((path, repeats, caption));
        }
    }
    Ok(found)
}

/// Everything in a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let fail = |error: std::io::Error| {
        TrainError::data(folder, format!("cannot be read: {error}"), "name an existing folder of pictures")
    };
    let entries = fs::read_dir(folder).map_err(fail)?;
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path()).map_err(fail)).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

/// Captions of an imagefolder by path; empty where there is no metadata.
fn metadata(folder: &Path) -> Result<BTreeMap<PathBuf, String>, TrainError> {
    #[derive(Deserialize)]
    struct Row {
        file_name: String,
        #[serde(alias = "caption")]
        text: Option<String>,
    }
    let path = folder.join(METADATA);
    if !path.is_file() {
        return Ok(BTreeMap::new());
    }
    let text = read_text(&path)?;
    let mut captions = BTreeMap::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let row: Row = serde_json::from_str(line).map_err(|error| {
            let hint = "each line is {\"file_name\": .., \"text\": ..}";
            TrainError::data(&path, format!("line {}: {error}", i + 1), hint)
        })?;
        if let Some(text) = row.text {
            captions.insert(folder.join(row.file_name), text);
        }
    }
    Ok(captions)
}

/// The mask of a picture: there, readable, of its size.
fn mask(masks: &Path, picture: &Path, pixels: &Pixels) -> Result<PathBuf, TrainError> {
    let path = masks.join(picture.file_name().unwrap_or_default()).with_extension("png");
    if !path.is_file() {
        let hint = "put it there, white where the picture counts, or leave `masks` out";
        return Err(TrainError::data(&path, format!("is missing, the mask of {}", picture.display()), hint));
    }
    let mask = tronie_image::open(&path)?;
    let [found, expected] = [&mask, pixels].map(|image| [image.width_px(), image.height_px()]);
    if found != expected {
        let [[w, h], [width, height]] = [found, expected];
        let problem = format!("is {w}x{h}, expected {width}x{height}, the size of {}", picture.display());
        return Err(TrainError::data(&path, problem, "make both the same size"));
    }
    Ok(path)
}

fn caption_file(picture: &Path) -> Result<Option<String>, TrainError> {
    for extension in CAPTION_EXTENSIONS {
        let path = picture.with_extension(extension);
        if path.is_file() {
            return Ok(Some(read_text(&path)?.trim().to_owned()));
        }
    }
    Ok(None)
}

fn read_text(path: &Path) -> Result<String, TrainError> {
    fs::read_to_string(path)
        .map_err(|error| TrainError::data(path, format!("cannot be read: {error}"), "it must be UTF-8 text"))
}

/// A picture at the size it is trained at: resized to cover it, then cut to its middle.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fitted {
    pub(crate) pixels: Pixels,
    /// Left and top of the cut in the resized picture, in pixels.
    pub(crate) crop_px: [u32; 2],
}

/// Reads a picture and fits it to `size_px` (width, height).
pub(crate) fn fitted(path: &Path, size_px: [u32; 2]) -> Result<Fitted, TrainError> {
    let pixels = tronie_image::open(path)?;
    let [width, height] = size_px;
    let (w, h) = (f64::from(pixels.width_px()), f64::from(pixels.height_px()));
    let scale = (f64::from(width) / w).max(f64::from(height) / h);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes of pictures fit in u32"
    )]
    let cover = |side: f64, least: u32| ((side * scale).round() as u32).max(least);
    let covered = tronie_image::resize(&pixels, cover(w, width), cover(h, height))?;
    let crop_px = [(covered.width_px() - width) / 2, (covered.height_px() - height) / 2];
    let stride = covered.width_px() as usize * 3;
    let rows = covered.rgb().chunks_exact(stride).skip(crop_px[1] as usize).take(height as usize);
    let cut = |row: &[u8]| {
        row.iter().skip(crop_px[0] as usize * 3).take(width as usize * 3).copied().collect::<Vec<_>>()
    };
    let rgb = rows.flat_map(cut).collect();
    Ok(Fitted { pixels: Pixels::new(width, height, rgb)?, crop_px })
}

#[cfg(test)]
mod tests;
