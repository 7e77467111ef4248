//! The picture a run starts from: from its file to pixels at the image's size, and back into the picture.
//!
//! What is read here is bytes and pixels only; [`super::start`] makes latents of them.

use tronie_image::{
    Fit, ImageError, Margins, Mask, Pixels, Rect, composite, crop, decode, decode_onto, extend, fill_masked,
    fit, paste,
};

use crate::request::{GenerateRequest, Inpaint, MaskedContent, Resize, Source};
use crate::{GenerateError, PictureFile};

/// Latents are this many pixels wide in every checkpoint there is; sizes are multiples of it.
const GRID_PX: u32 = 8;

/// What the files of a request say, at their own size.
pub(crate) struct Opened {
    picture: Pixels,
    /// Blurred; 255 is painted.
    mask: Option<Mask>,
    source: Source,
    inpaint: Option<Inpaint>,
}

/// A picture at the size it is walked at.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    /// What is encoded: at the image's size, or at its own when its latents are stretched.
    pub(crate) pixels: Pixels,
    /// Factor on the noise that is laid on it.
    pub(crate) noise_multiplier: f64,
    pub(crate) painted: Option<Painted>,
}

/// The part that is painted anew.
#[derive(Debug, Clone)]
pub(crate) struct Painted {
    /// At the image's size, blurred.
    pub(crate) mask: Mask,
    pub(crate) content: MaskedContent,
    /// Where the result goes; the picture there.
    frame: Frame,
}

/// What surrounds a painted part.
#[derive(Debug, Clone)]
struct Frame {
    picture: Pixels,
    /// As large as the picture.
    mask: Mask,
    /// What of it was painted.
    rect: Rect,
    pastes_back: bool,
}

impl Opened {
    /// Reads the files that a request names; `None` when it names none.
    ///
    /// # Errors
    /// [`GenerateError`] naming the file and what is wrong with it.
    pub(crate) fn of(request: &GenerateRequest) -> Result<Option<Self>, GenerateError> {
        let Some(source) = &request.source else { return Ok(None) };
        let (bytes, picture_file) = source.picture.read()?;
        let own = decode_onto(&bytes, source.background).map_err(|error| named(error, &picture_file))?;
        let source = Source { picture: picture_file, ..source.clone() };
        let Some(inpaint) = &request.inpaint else {
            if source.extend != Margins::default() {
                return Self::painting(
                    own,
                    source,
                    Inpaint { content: MaskedContent::Fill, ..Inpaint::default() },
                );
            }
            return Ok(Some(Self { picture: own, mask: None, source, inpaint: None }));
        };
        Self::painting(own, source, inpaint.clone())
    }

    /// With a mask: of the file, of what the picture is extended by, or both.
    fn painting(own: Pixels, source: Source, inpaint: Inpaint) -> Result<Option<Self>, GenerateError> {
        let size_px = (own.width_px(), own.height_px());
        let mut inpaint = inpaint;
        let mut drawn = None;
        if let Some(file) = &inpaint.mask {
            let (bytes, file) = file.read()?;
            let mask = Mask::of_light(&decode(&bytes).map_err(|error| named(error, &file))?);
            let found = (mask.width_px(), mask.height_px());
            if found != size_px {
                return Err(GenerateError::MaskSize { file: file.path, found, expected: size_px });
            }
            drawn = Some(if inpaint.invert { mask.inverted() } else { mask });
            inpaint.mask = Some(file);
        }
        let mask = Mask::of_margins(size_px, source.extend, drawn.as_ref());
        if mask.bounds().is_none() {
            let file = inpaint.mask.map(|file| file.path).unwrap_or_default();
            return Err(GenerateError::EmptyMask { file, is_inverted: inpaint.invert });
        }
        let picture = extend(&own, source.extend)?;
        let mask = Some(mask.blurred(inpaint.blur_px));
        Ok(Some(Self { picture, mask, source, inpaint: Some(inpaint) }))
    }

    /// The source of the request with the hash of its file.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// How the picture is painted, with the hash of its mask.
    pub(crate) fn inpaint(&self) -> Option<&Inpaint> {
        self.inpaint.as_ref()
    }

    /// Width and height of the image when nobody asks for any: the picture's, rounded down to whole latents; `None` where only a
    /// part of the picture is walked.
    ///
    /// # Errors
    /// [`GenerateError::Value`] when a picture is extended to a size that would have to be rounded.
    pub(crate) fn size_px(&self) -> Result<Option<(u32, u32)>, GenerateError> {
        let (width, height) = (self.picture.width_px(), self.picture.height_px());
        let is_extended = self.source.extend != Margins::default();
        if is_extended && (width % GRID_PX != 0 || height % GRID_PX != 0) {
            return Err(GenerateError::Value {
                field: "extend",
                found: format!("what makes {width}x{height} pixels"),
                expected: "what makes a width and a height that are multiples of 8".to_owned(),
            });
        }
        let rounded = |px: u32| (px - px % GRID_PX).max(GRID_PX);
        let is_part = self.inpaint.as_ref().is_some_and(|inpaint| inpaint.only_masked.is_some());
        Ok((!is_part).then(|| (rounded(width), rounded(height))))
    }

    /// The picture at its own size.
    pub(crate) fn unchanged(self) -> Prepared {
        let noise_multiplier = self.source.noise_multiplier;
        Prepared { pixels: self.picture, noise_multiplier, painted: None }
    }

    /// Brings everything to the image's size.
    ///
    /// # Errors
    /// [`GenerateError::Image`] when a picture cannot be had in that size.
    pub(crate) fn prepared(self, width_px: u32, height_px: u32) -> Result<Prepared, GenerateError> {
        let Self { picture, mask, source, inpaint } = self;
        let noise_multiplier = source.noise_multiplier;
        let (Some(mask), Some(inpaint)) = (mask, inpaint) else {
            let pixels = match source.resize {
                Resize::Latent => at_least_one_latent(picture)?,
                resize => fit(&picture, width_px, height_px, resize.of_pixels())?,
            };
            return Ok(Prepared { pixels, noise_multiplier, painted: None });
        };
        let at_size = |way: Fit, picture: &Pixels, mask: &Mask| -> Result<_, ImageError> {
            Ok((fit(picture, width_px, height_px, way)?, mask.fitted(width_px, height_px, way)?))
        };
        let whole = Rect { left: 0, top: 0, width: width_px, height: height_px };
        let (pixels, mask, frame) = match (inpaint.only_masked, mask.bounds()) {
            (Some(padding), Some(bounds)) => {
                let canvas = (picture.width_px(), picture.height_px());
                let rect = surroundings(bounds, padding, canvas, (width_px, height_px));
                let part = at_size(Fit::Fill, &crop(&picture, rect)?, &mask.cropped(rect)?)?;
                (part.0, part.1, (picture, mask, rect))
            }
            _ => {
                let (picture, mask) = at_size(source.resize.of_pixels(), &picture, &mask)?;
                (picture.clone(), mask.clone(), (picture, mask, whole))
            }
        };
        let pixels = match inpaint.content {
            MaskedContent::Fill => fill_masked(&pixels, &mask)?,
            _ => pixels,
        };
        let (picture, frame_mask, rect) = frame;
        let frame = Frame { picture, mask: frame_mask.doubled(), rect, pastes_back: inpaint.paste_back };
        Ok(Prepared {
            pixels,
            noise_multiplier,
            painted: Some(Painted { mask, content: inpaint.content, frame }),
        })
    }
}

impl Prepared {
    /// What is made of the decoded pixels: themselves, or the picture they were painted into.
    ///
    /// # Errors
    /// [`GenerateError::Image`] when they cannot be had in the size of their place.
    pub(crate) fn finished(&self, painted: Pixels) -> Result<Pixels, GenerateError> {
        let Some(Painted { frame: Frame { picture, mask, rect, pastes_back }, .. }) = &self.painted else {
            return Ok(painted);
        };
        // The part was laid inside the image's size; what lies around it there is cut off again.
        let part = fit(&painted, rect.width, rect.height, Fit::Crop)?;
        let all = paste(picture, &part, (rect.left, rect.top))?;
        Ok(if *pastes_back { composite(picture, &all, mask)? } else { all })
    }

    /// The same with a finished picture in place of the one it began at.
    ///
    /// # Errors
    /// [`GenerateError::Image`] when it has another size.
    pub(crate) fn again(&self, finished: Pixels) -> Result<Self, GenerateError> {
        let noise_multiplier = self.noise_multiplier;
        let Some(painted) = &self.painted else {
            return Ok(Self { pixels: finished, noise_multiplier, painted: None });
        };
        let (width_px, height_px) = (painted.mask.width_px(), painted.mask.height_px());
        let pixels = fit(&crop(&finished, painted.frame.rect)?, width_px, height_px, Fit::Fill)?;
        let frame = Frame { picture: finished, ..painted.frame.clone() };
        // What was filled or noise at first is a picture now.
        let painted = Painted { mask: painted.mask.clone(), content: MaskedContent::Original, frame };
        Ok(Self { pixels, noise_multiplier, painted: Some(painted) })
    }
}

fn named(error: ImageError, file: &PictureFile) -> GenerateError {
    GenerateError::Image(error.in_file(&file.path))
}

/// A picture that has at least one latent.
fn at_least_one_latent(picture: Pixels) -> Result<Pixels, ImageError> {
    let (width, height) = (picture.width_px().max(GRID_PX), picture.height_px().max(GRID_PX));
    fit(&picture, width, height, Fit::Stretch)
}

/// `bounds` with `padding` around it, grown along one side to the proportions of `size` as far as the picture goes.
///
/// A1111's `get_crop_region` and `expand_crop_region` (`modules/masking.py`): grown on both sides alike, then moved inside.
fn surroundings(bounds: Rect, padding: u32, picture: (u32, u32), size: (u32, u32)) -> Rect {
    let padded = |start: u32, n: u32, side: u32| {
        let first = start.saturating_sub(padding);
        (first, (start + n + padding).min(side) - first)
    };
    let (left, width) = padded(bounds.left, bounds.width, picture.0);
    let (top, height) = padded(bounds.top, bounds.height, picture.1);
    let [w, h, to_w, to_h] = [width, height, size.0, size.1].map(u64::from);
    let grown = |start: u32, n: u32, wanted: u64, side: u32| {
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).clamp(n, side);
        let start = start.saturating_sub((wanted - n) / 2).min(side - wanted);
        (start, wanted)
    };
    if w * to_h > to_w * h {
        let (top, height) = grown(top, height, w * to_h / to_w, picture.1);
        return Rect { left, top, width, height };
    }
    let (left, width) = grown(left, width, h * to_w / to_h, picture.0);
    Rect { left, top, width, height }
}

#[cfg(test)]
mod tests;
