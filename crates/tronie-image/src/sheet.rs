//! Contact sheets: many pictures on one.
#![expect(clippy::indexing_slicing, reason = "pixel kernel; every rectangle is laid out inside the sheet")]

use font8x8::legacy::BASIC_LEGACY;

use crate::{ImageError, Pixels, thumbnail};

/// Space between tiles and around them.
const GAP_PX: u32 = 8;
/// Side of one character.
const GLYPH_PX: u32 = 8;
/// From one line of a label to the next.
const LINE_PX: u32 = 10;
/// Space between a tile and its label.
const LABEL_GAP_PX: u32 = 4;
/// Lines a label may take; the rest is cut.
const MAX_LINES: usize = 3;
const BACKGROUND: u8 = 255;
const INK: u8 = 32;

/// Pictures in rows of `columns` tiles of `tile_px` pixels, each scaled to fit its tile and centred in it.
///
/// `labels` is empty, or has one text per picture: ASCII (anything else shows as `?`), wrapped at spaces to at most
/// three lines under the tile. Small pictures are enlarged, so a sheet of 64-pixel faces can be read.
///
/// # Errors
/// [`ImageError::BadSheet`] for no pictures, no columns, tiles of no size, or a wrong number of labels;
/// [`ImageError::TooManyPixels`] when the sheet would be larger than what [`crate::decode()`] reads.
pub fn contact_sheet(
    images: &[Pixels],
    labels: &[String],
    columns: usize,
    tile_px: u32,
) -> Result<Pixels, ImageError> {
    let labels_fit = labels.is_empty() || labels.len() == images.len();
    if images.is_empty() || columns == 0 || tile_px == 0 || !labels_fit {
        return Err(ImageError::BadSheet {
            n_images: images.len(),
            n_labels: labels.len(),
            columns,
            tile_px,
        });
    }
    let columns = columns.min(images.len());
    let n_characters = (tile_px / GLYPH_PX).max(1) as usize;
    let labels: Vec<_> = labels.iter().map(|label| wrap(label, n_characters)).collect();
    let n_lines = labels.iter().map(Vec::len).max().unwrap_or(0);
    let label_px = if n_lines == 0 { 0 } else { LABEL_GAP_PX + LINE_PX * to_u32(n_lines) };
    let rows = images.len().div_ceil(columns);

    let cell_width = u64::from(tile_px) + u64::from(GAP_PX);
    let cell_height = cell_width + u64::from(label_px);
    let width = columns as u64 * cell_width + u64::from(GAP_PX);
    let height = rows as u64 * cell_height + u64::from(GAP_PX);
    let mut sheet = Canvas::new(width, height)?;
    for (index, image) in images.iter().enumerate() {
        let left = to_u32(index % columns) * (tile_px + GAP_PX) + GAP_PX;
        let top = to_u32(index / columns) * (tile_px + GAP_PX + label_px) + GAP_PX;
        let tile = thumbnail(image, tile_px)?;
        let (x, y) = ((tile_px - tile.width_px()) / 2, (tile_px - tile.height_px()) / 2);
        sheet.paste(&tile, left + x, top + y);
        let lines = labels.get(index).into_iter().flatten();
        for (line, y) in lines.zip((top + tile_px + LABEL_GAP_PX..).step_by(LINE_PX as usize)) {
            sheet.write(line, left, y);
        }
    }
    Pixels::new(sheet.width_px, sheet.height_px, sheet.rgb)
}

/// Lines of at most `width` ASCII characters, broken at spaces where there are any.
fn wrap(label: &str, width: usize) -> Vec<String> {
    let ascii = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in label.split_whitespace() {
        let word: Vec<char> = word.chars().map(ascii).collect();
        for piece in word.chunks(width) {
            if !line.is_empty() && line.len() + 1 + piece.len() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.extend(piece);
        }
    }
    lines.push(line);
    lines.truncate(MAX_LINES);
    lines
}

fn to_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

struct Canvas {
    width_px: u32,
    height_px: u32,
    rgb: Vec<u8>,
}

impl Canvas {
    fn new(width: u64, height: u64) -> Result<Self, ImageError> {
        let width_px = u32::try_from(width).unwrap_or(u32::MAX);
        let height_px = u32::try_from(height).unwrap_or(u32::MAX);
        let side_px = width_px.max(height_px);
        if side_px > crate::MAX_SIDE_PX || width * height > crate::MAX_PIXELS {
            return Err(ImageError::TooManyPixels { width_px, height_px });
        }
        let n_bytes = width_px as usize * height_px as usize * 3;
        Ok(Self { width_px, height_px, rgb: vec![BACKGROUND; n_bytes] })
    }

    fn start_of(&self, x: u32, y: u32) -> usize {
        (y as usize * self.width_px as usize + x as usize) * 3
    }

    fn paste(&mut self, tile: &Pixels, left: u32, top: u32) {
        let row_bytes = tile.width_px() as usize * 3;
        for (row, y) in tile.rgb().chunks_exact(row_bytes).zip(top..) {
            let start = self.start_of(left, y);
            self.rgb[start..start + row_bytes].copy_from_slice(row);
        }
    }

    fn write(&mut self, line: &str, left: u32, top: u32) {
        for (character, x) in line.bytes().zip((left..).step_by(GLYPH_PX as usize)) {
            // Labels are ASCII; bit 0 of a row is its leftmost pixel.
            let glyph = BASIC_LEGACY[usize::from(character & 0x7f)];
            for (bits, y) in glyph.into_iter().zip(top..) {
                for column in (0..GLYPH_PX).filter(|column| bits >> column & 1 == 1) {
                    let (x, y) = (x + column, y);
                    if x < self.width_px && y < self.height_px {
                        let start = self.start_of(x, y);
                        self.rgb[start..start + 3].fill(INK);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
