//! Pictures appear under their names whole, each followed by its line in the journal.

use std::path::{Path, PathBuf};

use tronie_base::{Cancelled, Fault, Progress};

use crate::disk::Disk;
use crate::folder::{self, Record};
use crate::generator::{GeneratedImage, Generator};
use crate::{BuildError, Item};

/// Makes pictures durable, one after the other.
pub(crate) struct Maker<'a> {
    pub(crate) disk: &'a mut dyn Disk,
    pub(crate) folder: &'a Path,
    pub(crate) journal: PathBuf,
    pub(crate) generator: &'a mut dyn Generator,
}

impl Maker<'_> {
    /// Makes one batch; each image is safe before the next is touched, and `on_made` hears of it then.
    pub(crate) fn make(
        &mut self,
        items: &[Item],
        on_made: &mut dyn FnMut(&Item, Record),
        progress: &mut dyn Progress,
    ) -> Result<(), BuildError> {
        progress.check()?;
        let images = self.generate(items, progress)?;
        for (item, image) in items.iter().zip(images) {
            let record = Record {
                file_name: item.file_name.clone(),
                n_bytes: image.bytes.len() as u64,
                sha256: tronie_base::sha256_hex(&image.bytes),
            };
            folder::write_bytes(self.disk, &self.folder.join(&item.file_name), &image.bytes)?;
            self.disk.append(&self.journal, record.line().as_bytes())?;
            on_made(item, record);
            progress.advance(1);
            progress.check()?;
        }
        Ok(())
    }

    fn generate(
        &mut self,
        items: &[Item],
        progress: &mut dyn Progress,
    ) -> Result<Vec<GeneratedImage>, BuildError> {
        let indices = (items.first().map_or(0, |item| item.index), items.last().map_or(0, |item| item.index));
        let (first, last) = indices;
        let images = self.generator.generate(items, progress).map_err(|cause| match cause.fault() {
            Fault::Interrupted => BuildError::Cancelled(Cancelled),
            _ => BuildError::Generate { first, last, cause },
        })?;
        let name = items.first().map_or("", |item| item.file_name.as_str());
        let expected = Path::new(name).extension().unwrap_or_default();
        let wrong = images.iter().find(|image| *expected != *image.extension);
        let found = match wrong {
            Some(image) => format!("a file of type \"{}\"", image.extension),
            None if images.len() != items.len() => format!("{} files", images.len()),
            None => return Ok(images),
        };
        Err(BuildError::BadGenerator {
            first,
            last,
            found,
            expected: format!("{} of type \"{}\"", items.len(), expected.display()),
        })
    }
}
