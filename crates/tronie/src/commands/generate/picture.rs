//! Options of `tronie generate` about the picture it starts from.

use std::path::PathBuf;

use tronie_generate::{GenerateError, GenerateRequest, Inpaint, MaskedContent, Resize, Source};
use tronie_image::Margins;

use super::{parse_id, set};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "From a picture")]
pub(super) struct PictureArgs {
    /// Start from this picture (PNG, JPEG, WebP); the image gets its size unless --size says another
    #[arg(long, value_name = "PICTURE")]
    image: Option<PathBuf>,
    /// How much of the picture may change, 0 to 1 [default: 0.75]
    #[arg(long, value_name = "SHARE")]
    strength: Option<f64>,
    /// How the picture comes to the image's size: stretch, crop, fill, latent
    #[arg(long, value_name = "HOW", value_parser = parse_id::<Resize>)]
    resize: Option<Resize>,
    /// Walk as many steps as --steps says, where strength would leave out some
    #[arg(long)]
    exact_steps: bool,
    /// Factor on the noise that is laid on the picture
    #[arg(long, value_name = "FACTOR")]
    noise_multiplier: Option<f64>,
    /// Colour under transparent pixels [default: ffffff]
    #[arg(long, value_name = "RRGGBB", value_parser = parse_colour)]
    background: Option<Colour>,
    /// Paint only the white part of this picture, which is as large as --image
    #[arg(long, value_name = "PICTURE")]
    mask: Option<PathBuf>,
    /// Paint the black part of the mask instead
    #[arg(long)]
    mask_invert: bool,
    /// Blur of the mask's edge in pixels [default: 4]
    #[arg(long, value_name = "PX")]
    mask_blur: Option<f64>,
    /// What the painted part starts from: original, fill, latent_noise, latent_nothing
    #[arg(long, value_name = "WHAT", value_parser = parse_id::<MaskedContent>)]
    mask_content: Option<MaskedContent>,
    /// Paint only the surroundings of the mask, at the image's size, with this many pixels around it
    #[arg(long, value_name = "PX", num_args = 0..=1, default_missing_value = "32")]
    only_masked: Option<u32>,
    /// Leave what the model makes of the picture outside the mask, where its own pixels would be put back
    #[arg(long)]
    no_paste_back: bool,
    /// Paint around the picture: left=64,top=0,right=64,bottom=0
    #[arg(long, value_name = "SIDE=PX,...", value_parser = parse_margins)]
    extend: Option<Margins>,
}

/// Red, green, blue. A type of its own, because clap takes an array for several values.
#[derive(Debug, Clone, Copy)]
struct Colour([u8; 3]);

fn parse_colour(text: &str) -> Result<Colour, String> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    let number = u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 6);
    let [_, r, g, b] = number.ok_or("expected six hexadecimal digits, for example ff8000")?.to_be_bytes();
    Ok(Colour([r, g, b]))
}

fn parse_margins(text: &str) -> Result<Margins, String> {
    let mut margins = Margins::default();
    for part in text.split(',') {
        let (side, px) = part.split_once('=').ok_or("expected SIDE=PX, for example left=64,top=32")?;
        let px = px.trim().parse().map_err(|_| format!("\"{px}\" is no number of pixels"))?;
        match side.trim() {
            "left" => margins.left = px,
            "top" => margins.top = px,
            "right" => margins.right = px,
            "bottom" => margins.bottom = px,
            other => return Err(format!("\"{other}\" is no side, expected left, top, right or bottom")),
        }
    }
    Ok(margins)
}

impl PictureArgs {
    /// Puts what was typed into a request.
    ///
    /// # Errors
    /// [`GenerateError::Value`] for an option about a picture where there is none.
    pub(super) fn apply(&self, request: &mut GenerateRequest) -> Result<(), GenerateError> {
        if let Some(path) = &self.image {
            let before = request.source.take();
            request.source = Some(match before {
                Some(source) => Source { picture: path.clone().into(), ..source },
                None => Source::new(path.clone()),
            });
        }
        self.apply_to_source(request)?;
        self.apply_to_mask(request)
    }

    fn apply_to_source(&self, request: &mut GenerateRequest) -> Result<(), GenerateError> {
        let typed = [
            ("strength", self.strength.is_some()),
            ("resize", self.resize.is_some()),
            ("exact_steps", self.exact_steps),
            ("noise_multiplier", self.noise_multiplier.is_some()),
            ("background", self.background.is_some()),
            ("extend", self.extend.is_some()),
        ];
        let Some(source) = &mut request.source else { return none_of(&typed, "an image to start from") };
        set(&mut source.strength, self.strength.as_ref());
        set(&mut source.resize, self.resize.as_ref());
        set(&mut source.noise_multiplier, self.noise_multiplier.as_ref());
        set(&mut source.background, self.background.map(|colour| colour.0).as_ref());
        set(&mut source.extend, self.extend.as_ref());
        source.exact_steps |= self.exact_steps;
        Ok(())
    }

    fn apply_to_mask(&self, request: &mut GenerateRequest) -> Result<(), GenerateError> {
        let typed = [
            ("mask_invert", self.mask_invert),
            ("mask_blur", self.mask_blur.is_some()),
            ("mask_content", self.mask_content.is_some()),
            ("only_masked", self.only_masked.is_some()),
            ("no_paste_back", self.no_paste_back),
        ];
        let is_extended = request.source.as_ref().is_some_and(|source| source.extend != Margins::default());
        if self.mask.is_some() || is_extended {
            let content = if is_extended { MaskedContent::Fill } else { MaskedContent::default() };
            request.inpaint.get_or_insert(Inpaint { content, ..Inpaint::default() });
        }
        let Some(inpaint) = &mut request.inpaint else { return none_of(&typed, "a mask") };
        if let Some(path) = &self.mask {
            inpaint.mask = Some(path.clone().into());
        }
        set(&mut inpaint.blur_px, self.mask_blur.as_ref());
        set(&mut inpaint.content, self.mask_content.as_ref());
        if self.only_masked.is_some() {
            inpaint.only_masked = self.only_masked;
        }
        inpaint.invert |= self.mask_invert;
        inpaint.paste_back &= !self.no_paste_back;
        Ok(())
    }
}

/// Fails on the first option that was typed although what it is about is missing.
pub(super) fn none_of(typed: &[(&'static str, bool)], needed: &str) -> Result<(), GenerateError> {
    match typed.iter().find(|row| row.1) {
        None => Ok(()),
        Some((field, _)) => Err(GenerateError::Value {
            field,
            found: "given alone".to_owned(),
            expected: format!("it beside {needed}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_and_colours_are_read() {
        let margins = parse_margins("left=64, bottom=8").unwrap();
        assert_eq!(margins, Margins { left: 64, bottom: 8, ..Margins::default() });
        assert_eq!(
            parse_margins("up=3").unwrap_err(),
            "\"up\" is no side, expected left, top, right or bottom"
        );
        assert_eq!(parse_margins("left=-3").unwrap_err(), "\"-3\" is no number of pixels");
        assert!(parse_margins("64").is_err());
        assert_eq!(parse_colour("#ff8001").unwrap().0, [255, 128, 1]);
        assert!(parse_colour("ff80").is_err() && parse_colour("red").is_err());
    }
}
