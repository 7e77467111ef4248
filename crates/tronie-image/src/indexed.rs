//! Pictures whose bytes are numbers of classes, as 8-bit PNG with a palette.

use crate::{ImageError, MAX_PIXELS, MAX_SIDE_PX};

/// One class number for every pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// Number of columns.
    pub width_px: u32,
    /// Number of rows.
    pub height_px: u32,
    /// Class of each pixel, rows from the top.
    pub classes: Vec<u8>,
}

impl Indexed {
    /// A picture of class 0.
    ///
    /// # Errors
    /// [`ImageError::TooManyPixels`].
    pub fn new(width_px: u32, height_px: u32) -> Result<Self, ImageError> {
        let n_pixels = u64::from(width_px) * u64::from(height_px);
        if width_px.max(height_px) > MAX_SIDE_PX || n_pixels > MAX_PIXELS {
            return Err(ImageError::TooManyPixels { width_px, height_px });
        }
        let classes = vec![0; usize::try_from(n_pixels).unwrap_or(0)];
        Ok(Self { width_px, height_px, classes })
    }

    /// An 8-bit PNG: of palette type with colors, else grey whose levels are the classes.
    ///
    /// # Errors
    /// [`ImageError::Encode`] when the sides are zero or do not fit the classes.
    pub fn encode(&self, palette: Option<&[[u8; 3]]>) -> Result<Vec<u8>, ImageError> {
        let write = || {
            let mut file = Vec::new();
            let mut encoder = png::Encoder::new(&mut file, self.width_px, self.height_px);
            encoder.set_depth(png::BitDepth::Eight);
            encoder.set_color(png::ColorType::Grayscale);
            if let Some(palette) = palette {
                encoder.set_color(png::ColorType::Indexed);
                encoder.set_palette(palette.as_flattened().to_vec());
            }
            let mut writer = encoder.write_header()?;
            writer.write_image_data(&self.classes)?;
            writer.finish()?;
            Ok(file)
        };
        write().map_err(|error: png::EncodingError| ImageError::Encode {
            format: "PNG",
            width_px: self.width_px,
            height_px: self.height_px,
            reason: error.to_string(),
        })
    }

    /// Reads what [`Indexed::encode`] writes: an 8-bit PNG with a palette, whose indices are the classes, or a grey one.
    ///
    /// # Errors
    /// [`ImageError::Broken`] for any other file, [`ImageError::TooManyPixels`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ImageError> {
        let broken = |reason: String| ImageError::Broken { format: "PNG", reason };
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::IDENTITY);
        let mut reader = decoder.read_info().map_err(|error| broken(error.to_string()))?;
        let info = reader.info();
        let (color, depth) = (info.color_type, info.bit_depth);
        let is_classes = matches!(color, png::ColorType::Indexed | png::ColorType::Grayscale);
        if !is_classes || depth != png::BitDepth::Eight {
            return Err(broken(format!("{color:?} of {depth:?} bits, expected 8 bits of palette or grey")));
        }
        let mut picture = Self::new(info.width, info.height)?;
        reader.next_frame(&mut picture.classes).map_err(|error| broken(error.to_string()))?;
        Ok(picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_survive_a_file_with_and_without_palette() {
        let mut picture = Indexed::new(3, 2).unwrap();
        picture.classes = vec![0, 1, 2, 18, 1, 0];
        let palette = [[1, 2, 3]; 19];
        for palette in [None, Some(&palette[..])] {
            assert_eq!(Indexed::decode(&picture.encode(palette).unwrap()).unwrap(), picture);
        }
        assert!(Indexed::decode(b"no picture").is_err());
        assert!(Indexed::new(70_000, 1).is_err());
    }
}
