//! Labelled pictures of faces: lines of `tronie faces annotate`, each with what else is known about its picture.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;
use tronie_base::Progress;
use tronie_faces::geometry::Transform;
use tronie_faces::{Face, Seen};
use tronie_image::Pixels;

use crate::TrainError;

/// Colors of hair that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Hair {
    Dark,
    Blond,
    Red,
    Gray,
    Colored,
    Bald,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sex {
    Female,
    Male,
}

/// What is known about a picture beside what networks said; what is absent is unknown.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Labels {
    /// Who it shows: pictures of one person are held out together.
    pub(crate) person: String,
    /// Whether nothing may be learned from it, so that it can measure what was learned.
    pub(crate) held_out: bool,
    pub(crate) sex: Option<Sex>,
    pub(crate) glasses: Option<bool>,
    pub(crate) smile: Option<bool>,
    pub(crate) hair: Option<Hair>,
    /// A picture of the classes of pixels, relative to the file of labels.
    pub(crate) mask: Option<PathBuf>,
}

/// A line of the file of labels.
#[derive(Debug, Deserialize)]
struct Line {
    file: String,
    #[serde(flatten)]
    seen: Option<Seen>,
    labels: Labels,
}

/// A picture with its labels.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) pixels: Pixels,
    /// The surest first.
    pub(crate) faces: Vec<Face>,
    pub(crate) labels: Labels,
    mask: Option<Pixels>,
}

impl Subject {
    /// The only face.
    pub(crate) fn face(&self) -> Option<&Face> {
        match self.faces.as_slice() {
            [face] => Some(face),
            _ => None,
        }
    }

    pub(crate) fn has_mask(&self) -> bool {
        self.mask.is_some()
    }

    /// Classes of the pixels of a crop of `side` by `side` places; `None` where nothing is known.
    pub(crate) fn classes(&self, image_from_crop: &Transform, side: usize) -> Vec<Option<u8>> {
        let Some(mask) = &self.mask else { return vec![None; side * side] };
        let [width, height] = [mask.width_px(), mask.height_px()];
        let scale_x = f64::from(width) / f64::from(self.pixels.width_px());
        let scale_y = f64::from(height) / f64::from(self.pixels.height_px());
        let class = |index: usize| {
            let (x, y) = image_from_crop.at((index % side) as f64 + 0.5, (index / side) as f64 + 0.5);
            let place = pixel(x * scale_x, width)? + pixel(y * scale_y, height)? * width as usize;
            mask.rgb().get(place * 3).copied().filter(|&class| class != UNKNOWN)
        };
        (0..side * side).map(class).collect()
    }
}

/// The class of pixels about which nothing is known.
const UNKNOWN: u8 = 255;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "inside of the picture")]
fn pixel(position: f64, side: u32) -> Option<usize> {
    (0.0..f64::from(side)).contains(&position).then_some(position as usize)
}

/// Which pictures of a file are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    /// Those to learn from.
    Training,
    /// Those that are held out.
    HeldOut,
}

/// Reads one half of the pictures of a file of labels, with their masks if wanted.
pub(crate) fn read(
    (labels, folder): (&Path, &Path),
    half: Half,
    has_masks: bool,
    progress: &mut dyn Progress,
) -> Result<Vec<Subject>, TrainError> {
    let hint = "it is what tronie faces annotate writes, with an object \"labels\" in every line";
    let problem = |problem: String| TrainError::data(labels, problem, hint);
    let text =
        std::fs::read_to_string(labels).map_err(|error| problem(format!("cannot be read: {error}")))?;
    let line = |(line, number): (&str, usize)| {
        serde_json::from_str(line).map_err(|error| problem(format!("line {number}: {error}")))
    };
    let lines: Vec<Line> = text.lines().zip(1..).map(line).collect::<Result<_, _>>()?;
    let beside = labels.parent().unwrap_or(Path::new(""));
    let wanted: Vec<Line> = lines
        .into_iter()
        .filter(|line| line.labels.held_out == (half == Half::HeldOut) && line.seen.is_some())
        .collect();
    progress.begin("reading pictures", wanted.len() as u64);
    let mut subjects = Vec::with_capacity(wanted.len());
    for lines in wanted.chunks(READ_AT_ONCE) {
        progress.check()?;
        let open = |line: &Line| -> Result<Subject, TrainError> {
            let mask = line.labels.mask.as_ref().filter(|_| has_masks);
            Ok(Subject {
                pixels: tronie_image::open(&folder.join(&line.file))?,
                faces: line.seen.as_ref().map(|seen| seen.faces.clone()).unwrap_or_default(),
                mask: mask.map(|mask| tronie_image::open(&beside.join(mask))).transpose()?,
                labels: line.labels.clone(),
            })
        };
        subjects.extend(lines.par_iter().map(open).collect::<Result<Vec<_>, _>>()?);
        progress.advance(lines.len() as u64);
    }
    Ok(subjects)
}

/// Pictures between two looks at whether to stop.
const READ_AT_ONCE: usize = 64;
