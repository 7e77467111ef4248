//! Pixels without tensors: files in, files out, and the text they carry.
//!
//! - [`Pixels`]: 8-bit RGB, rows from the top. [`resize`], [`thumbnail`], [`psnr_db`] and [`largest_difference`] work on it.
//! - [`encode()`], [`decode()`], [`open`]: PNG, JPEG and WebP, with limits on what strangers hand in.
//! - [`fit`](fit()), [`crop`], [`extend`], [`paste`]: pictures at the size they are needed in.
//! - [`Mask`], [`composite`], [`fill_masked`]: parts of pictures; [`Mosaic`]: pictures of parts.
//! - [`TextEntry`], [`read_text`], [`read_text_from`]: what a picture says about itself, read without its pixels.
//! - [`synthetic_packet`]: the IPTC declaration that a picture was made by a trained model.
//! - [`contact_sheet`]: many pictures on one, with labels.
//! - [`Indexed`]: pictures of class numbers, as PNG with a palette.
//! - [`hints`]: edges, drawn poses and the like, for networks that are steered by a picture.
//!
//! Where text goes:
//!
//! | key | PNG | JPEG, WebP |
//! |---|---|---|
//! | [`KEY_PARAMETERS`] | `tEXt` when Latin-1, else `iTXt` | EXIF UserComment, `UNICODE\0` and UTF-16BE |
//! | [`KEY_XMP`] | `iTXt` | the XMP packet |
//! | one more, such as [`KEY_RECORD`] | `iTXt` for [`KEY_RECORD`], else as the first row | EXIF ImageDescription, `key:value` |
//!
//! ImageDescription as `key:value` is what ComfyUI writes into its WebP files, and unlike a property inside the XMP
//! packet it can be read back byte for byte without an XML parser.

mod decode;
mod encode;
mod error;
mod exif;
mod fill;
mod fit;
mod format;
pub mod hints;
mod indexed;
mod mask;
mod mosaic;
mod pixels;
mod provenance;
mod sheet;
mod text;

pub use decode::{
    MAX_ALLOC_BYTES, MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE_PX, decode, decode_onto, open, read_file, size_px,
};
pub use encode::encode;
pub use error::ImageError;
pub use fill::fill_masked;
pub use fit::{Fit, Margins, Rect, crop, extend, fit, paste};
pub use format::ImageFormat;
pub use indexed::Indexed;
pub use mask::{Mask, composite};
pub use mosaic::{Mosaic, tile_spans};
pub use pixels::{Pixels, largest_difference, psnr_db, resize, resize_bicubic, thumbnail};
pub use provenance::{DIGITAL_SOURCE_TYPE, is_declared_synthetic, synthetic_packet};
pub use sheet::contact_sheet;
pub use text::{KEY_PARAMETERS, KEY_RECORD, KEY_XMP, MAX_TEXT_BYTES, TextEntry, read_text, read_text_from};
