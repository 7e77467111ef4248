//! The files of networks: which there are, where they are looked for, and how pictures go into them.

use std::path::{Path, PathBuf};

use tronie_image::Pixels;

use crate::FacesError;
use crate::geometry::Transform;
use crate::onnx::{Network, Signature};
use crate::sample::{Outside, Sampling, sample};

/// Order of the color channels that a network was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Red first.
    Rgb,
    /// Blue first, as OpenCV reads pictures.
    Bgr,
}

/// How a picture becomes the input of a network: f32, one picture after the other, each channel after channel (n c h w).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputContract {
    /// Height of the input.
    pub height_px: usize,
    /// Width of the input.
    pub width_px: usize,
    /// Order of the channels.
    pub order: ChannelOrder,
    /// Subtracted from the bytes of each channel, in the network's order of channels.
    pub mean: [f32; 3],
    /// What the difference is then multiplied with.
    pub scale: [f32; 3],
}

impl InputContract {
    /// A square of red, green and blue, bytes as they are. For others: `InputContract { mean: .., ..InputContract::square(side) }`.
    #[must_use]
    pub const fn square(side_px: usize) -> Self {
        Self {
            height_px: side_px,
            width_px: side_px,
            order: ChannelOrder::Rgb,
            mean: [0.0; 3],
            scale: [1.0; 3],
        }
    }

    /// The crop that a transform shows, as values of the input.
    #[must_use]
    pub fn values(&self, pixels: &Pixels, image_from_crop: &Transform, outside: Outside) -> Vec<f32> {
        let &Self { height_px, width_px, .. } = self;
        let crop =
            sample(pixels, image_from_crop, Sampling { width_px, height_px, outside, points_per_side: 1 });
        self.normalize(&crop)
    }

    /// Bytes as f32, red, green, blue of each pixel, as values of the input.
    #[must_use]
    pub fn normalize(&self, rgb: &[f32]) -> Vec<f32> {
        let channels: [usize; 3] = match self.order {
            ChannelOrder::Rgb => [0, 1, 2],
            ChannelOrder::Bgr => [2, 1, 0],
        };
        let planes = channels.into_iter().zip(self.mean).zip(self.scale);
        let plane = |((channel, mean), scale): ((usize, f32), f32)| {
            rgb.iter().skip(channel).step_by(3).map(move |value| (value - mean) * scale)
        };
        planes.flat_map(plane).collect()
    }

    /// Sides of one picture, channels first.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        [3, self.height_px, self.width_px]
    }
}

/// A file that a network is known to be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkFile {
    /// Name it is distributed under.
    pub name: &'static str,
    /// Its hash, in hexadecimal digits; `None` where several files of this name are in use, which the signature then has
    /// to tell apart.
    pub sha256: Option<&'static str>,
    /// Its size, where the hash is known.
    pub n_bytes: Option<u64>,
}

impl NetworkFile {
    /// A file of any hash.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Self { name, sha256: None, n_bytes: None }
    }
}

/// Everything about a network but its weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NetworkRow {
    /// Files that hold it; the first one found is used.
    pub files: &'static [NetworkFile],
    /// Where it comes from.
    pub source_url: &'static str,
    /// Licence of the weights.
    pub licence: &'static str,
    /// Whom the licence wants named.
    pub credit: &'static str,
    /// How pictures go in.
    pub input: InputContract,
    /// Names of the outputs that are read, empty where exporters number them.
    pub outputs: &'static [&'static str],
    /// Number of outputs read.
    pub n_outputs: usize,
}

impl NetworkRow {
    fn signature(&self) -> Signature {
        let InputContract { height_px, width_px, .. } = self.input;
        Signature {
            input: [None, Some(3), Some(height_px), Some(width_px)],
            outputs: self.outputs,
            n_outputs: self.n_outputs,
        }
    }
}

/// Folders that hold the files of networks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkFolders {
    folders: Vec<PathBuf>,
}

/// What a network without a file is said to be in.
const INSIDE: &str = "the program";
/// Folder inside a models folder that networks for faces may lie in.
const SUBFOLDER: &str = "annotators";

impl NetworkFolders {
    /// Folders in the order they are searched; a file lies in one of them or in its subfolder `annotators`.
    #[must_use]
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }

    /// The first file of a network that is here.
    fn find(&self, row: &NetworkRow) -> Option<(&'static NetworkFile, PathBuf)> {
        let files = row.files.iter();
        let mut places = files.flat_map(|file| self.places(file.name).map(move |path| (file, path)));
        places.find(|(_, path)| path.is_file())
    }

    /// Whether a file of the network is here, whatever it contains.
    #[must_use]
    pub fn holds(&self, row: &NetworkRow) -> bool {
        self.find(row).is_some()
    }

    /// Opens the file of a network that is part of the program, or the network itself where there is no file.
    ///
    /// # Errors
    /// As [`NetworkFolders::open`], but for a missing file.
    pub fn open_or_embedded(
        &self,
        annotator: &'static str,
        row: &NetworkRow,
        embedded: &[u8],
    ) -> Result<Network, FacesError> {
        if self.holds(row) {
            return self.open(annotator, row);
        }
        Network::from_bytes(embedded.to_vec(), Path::new(INSIDE), &row.signature())
    }

    /// Opens the network of an annotator.
    ///
    /// # Errors
    /// [`FacesError::MissingNetwork`] with the name of the file and where to get it, [`FacesError::WrongNetwork`] for other
    /// content, and what [`Network::open`] refuses.
    pub fn open(&self, annotator: &'static str, row: &NetworkRow) -> Result<Network, FacesError> {
        let Some((file, path)) = self.find(row) else {
            return Err(FacesError::MissingNetwork {
                annotator,
                file: row.files.first().map_or("", |file| file.name),
                searched: self.list(),
                source_url: row.source_url,
            });
        };
        let network = Network::open(&path, &row.signature())?;
        match file.sha256 {
            Some(expected) if expected != network.sha256() => {
                Err(FacesError::WrongNetwork { path, found: network.sha256().to_owned(), expected })
            }
            _ => Ok(network),
        }
    }

    fn places(&self, name: &str) -> impl Iterator<Item = PathBuf> {
        let in_folder = |folder: &PathBuf| [folder.join(name), folder.join(SUBFOLDER).join(name)];
        self.folders.iter().flat_map(in_folder).collect::<Vec<_>>().into_iter()
    }

    fn list(&self) -> String {
        let names: Vec<String> = self.folders.iter().map(|folder| folder.display().to_string()).collect();
        if names.is_empty() { "there are none".to_owned() } else { names.join(", ") }
    }
}

#[cfg(test)]
mod tests;
