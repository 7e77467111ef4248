//! One face made of the best parts of several versions of it.
//!
//! Versions are aligned by their landmarks; for each region (eyes, brows, nose, mouth) a version is named or the least
//! defective one is taken; its pixels are laid into the first version, and where they meet a seam is measured before and after blending.

mod blend;
mod regions;
mod register;
mod scores;

use serde::Serialize;
use tronie_image::Pixels;

use crate::geometry::{Point, Transform};
use crate::{Face, FacesError};

pub use blend::Blending;
pub use regions::{FACE_REGIONS, FaceRegion, face_region};

use blend::{Patch, blended};
use regions::Area;
use register::refined;
use scores::{defects, seam};

/// A picture of the face, and where its face is.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    /// What it is called in reports.
    pub name: &'a str,
    /// The picture.
    pub pixels: &'a Pixels,
    /// Its face, with 68 landmarks.
    pub face: &'a Face,
}

/// Where a region comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The version with the smallest defect.
    Best,
    /// The version of this index.
    Version(usize),
}

/// A finished composition.
#[derive(Debug, Clone, PartialEq)]
pub struct Composition {
    /// The picture, as large as the first version.
    pub pixels: Pixels,
    /// What was done in each region, in the order asked for.
    pub regions: Vec<ComposedRegion>,
}

/// Where a region came from, and how well it fits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComposedRegion {
    /// Its id.
    pub region: &'static str,
    /// Index of the version it is from; 0 changes nothing.
    pub version: usize,
    /// Defect of the region in each version, 0 or more, see [`compose`]; infinite (`null` in JSON) for one that cannot be laid over the first.
    pub defects: Vec<f32>,
    /// Seam of the region laid in without blending, in grey levels; absent where nothing was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seam_pasted: Option<f32>,
    /// Seam after blending, in grey levels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seam: Option<f32>,
}

/// Lays regions of several versions into the first one.
///
/// A version is brought onto the first by the similarity that fits its landmarks, those of the region left out, because a
/// defect moves them, and then by the one that makes the rest of the face most alike. The defect of a region is how far its fine structure is from what the face around leads to expect, in
/// standard deviations of good portraits, and with three or more versions also how far its pixels are from the median of all, over 4 grey
/// levels. The seam is how much more neighbouring pixels differ across the region's edge than they did in the first version, in grey
/// levels: 0 is none, below 2 nobody sees it.
///
/// # Errors
/// [`FacesError::NoLandmarks`] naming the version without 68 landmarks; [`FacesError::NoVersion`] for a choice past the last one.
pub fn compose(
    versions: &[Version<'_>],
    wanted: &[(&'static FaceRegion, Choice)],
    blending: Blending,
) -> Result<Composition, FacesError> {
    let n_versions = versions.len();
    let base = versions.first().ok_or(FacesError::NoVersion { found: 0, n_versions })?;
    let landmarks: Vec<&[Point]> = versions.iter().map(landmarks_of).collect::<Result<_, _>>()?;
    let (mut pixels, mut regions) = (base.pixels.clone(), Vec::new());
    for &(region, choice) in wanted {
        let area = Area::new(region, &landmarks, [base.pixels.width_px(), base.pixels.height_px()]);
        let patches = patches(versions, fits(region, &landmarks), area.as_ref());
        let defects = defects(region, versions, &landmarks, (&patches, area.as_ref()));
        let version = match choice {
            Choice::Version(found) if found >= n_versions => {
                return Err(FacesError::NoVersion { found: found + 1, n_versions });
            }
            Choice::Version(index) => index,
            Choice::Best => least(&defects),
        };
        let mut done = ComposedRegion { region: region.id, version, defects, seam_pasted: None, seam: None };
        if let (Some(area), Some(Some(patch)), true) = (&area, patches.get(version), version > 0) {
            let before = Patch::new(&pixels, &Transform::IDENTITY.into(), area);
            let after = blended(&before, patch, area, blending);
            done.seam_pasted = Some(seam(&before, patch, area));
            done.seam = Some(seam(&before, &after, area));
            pixels = after.laid_into(&pixels, area)?;
        }
        regions.push(done);
    }
    Ok(Composition { pixels, regions })
}

fn landmarks_of<'a>(version: &Version<'a>) -> Result<&'a [Point], FacesError> {
    let landmarks = version.face.landmarks_68.as_deref().filter(|points| points.len() == 68);
    landmarks.ok_or_else(|| FacesError::NoLandmarks { name: version.name.to_owned() })
}

/// From the first version to each, fitted to all landmarks but the region's own; `None` where they coincide.
fn fits(region: &FaceRegion, landmarks: &[&[Point]]) -> Vec<Option<Transform>> {
    let others = |points: &[Point]| -> Vec<Point> {
        let outside = points.iter().enumerate().filter(|(index, _)| !region.has(*index));
        outside.map(|(_, point)| *point).collect()
    };
    let first = landmarks.first().map(|points| others(points)).unwrap_or_default();
    let rest = landmarks.iter().skip(1).map(|points| Transform::similarity(&first, &others(points)));
    std::iter::once(Some(Transform::IDENTITY)).chain(rest).collect()
}

/// What each version has in an area, brought onto the first one.
fn patches(
    versions: &[Version<'_>],
    fits: Vec<Option<Transform>>,
    area: Option<&Area>,
) -> Vec<Option<Patch>> {
    let patch = |(index, (version, fit)): (usize, (&Version<'_>, Option<Transform>))| {
        let (area, fit, base) = (area?, fit?, versions.first()?);
        let fit = match index {
            0 => fit.into(),
            _ => refined([base.pixels, version.pixels], &base.face.rect, area, &fit),
        };
        Some(Patch::new(version.pixels, &fit, area))
    };
    versions.iter().zip(fits).enumerate().map(patch).collect()
}

fn least(defects: &[f32]) -> usize {
    let found = defects.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
    found.map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests;
