//! What tests of builds share.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tronie_faces::Seen;
use tronie_image::Pixels;

use crate::disk::{Disk, Fill, RealDisk};
use crate::{BoxedFaulty, BuildError, Measurer};

/// A disk on which one operation fails, halfway through and with its traces left behind.
pub(crate) struct FailingDisk {
    pub(crate) n_operations: u64,
    pub(crate) fails_at: u64,
}

impl FailingDisk {
    fn next(&mut self, path: &Path) -> Result<(), BuildError> {
        self.n_operations += 1;
        if self.n_operations == self.fails_at {
            return Err(BuildError::Io {
                path: path.to_owned(),
                source: std::io::ErrorKind::StorageFull.into(),
            });
        }
        Ok(())
    }
}

impl Disk for FailingDisk {
    fn write(&mut self, path: &Path, fill: Fill<'_>) -> Result<(), BuildError> {
        if let Err(error) = self.next(path) {
            let name = format!(".tmp-{}-1", path.file_name().unwrap().to_string_lossy());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path.with_file_name(name), b"half a fi").unwrap();
            return Err(error);
        }
        RealDisk.write(path, fill)
    }

    fn append(&mut self, path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
        if let Err(error) = self.next(path) {
            RealDisk.append(path, &bytes[..bytes.len() / 2]).unwrap();
            return Err(error);
        }
        RealDisk.append(path, bytes)
    }

    fn remove(&mut self, path: &Path) -> Result<(), BuildError> {
        self.next(path)?;
        RealDisk.remove(path)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), BuildError> {
        self.next(to)?;
        RealDisk.rename(from, to)
    }
}

/// Every file below a folder, with its content.
pub(crate) fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[track_caller]
pub(crate) fn assert_same(folder: &Path, expected: &BTreeMap<String, Vec<u8>>) {
    let found = content(folder);
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(expected));
    for (name, bytes) in expected {
        assert!(found[name] == *bytes, "{name} differs");
    }
}

/// Looks at nothing, for specs without rules.
pub(crate) struct NoMeasurer;

impl Measurer for NoMeasurer {
    fn identity(&self) -> BTreeMap<String, Option<String>> {
        BTreeMap::new()
    }

    fn batch_size(&self) -> usize {
        1
    }

    fn measure(&mut self, pictures: &[Pixels]) -> Result<Vec<Seen>, BoxedFaulty> {
        panic!("{} pictures to look at without rules", pictures.len())
    }
}
