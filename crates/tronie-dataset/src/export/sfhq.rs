//! The layout of the SFHQ datasets, with `.npz` where they have pickles: one file per picture and kind, all of one name.
//!
//! `explore_dataset.py` of SelfishGene/SFHQ-dataset at 4c898bc7 pairs sorted lists of files, so a picture without a face is left out
//! of all of them. Landmarks are x and y in pixels; masks hold the classes of face-parsing.PyTorch as grey levels.

use std::io::{Cursor, Write as _};

use tronie_base::Progress;
use tronie_faces::Face;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::context::{Context, Item};
use super::staging::Staging;
use super::{ExportError, FormatRow, Need, labels};

pub(super) const ROW: FormatRow = FormatRow {
    id: "sfhq",
    title: "scripts for the SFHQ datasets",
    layout: "`images/NAME.png`, `landmarks/NAME.npz` (array `landmarks`: 110, 106 or 68 points, the most there are), \
             `pretrained_features/NAME.npz` (an array for each network), `segmentations/NAME.png` (with `--masks`); pictures \
             without landmarks are left out",
    needs: Some(Need::Faces),
    write,
};

/// An array of an archive: name, shape, numbers.
type Array<'a> = (&'a str, Vec<usize>, Vec<f32>);

fn write(
    context: &Context<'_>,
    staging: &mut Staging,
    progress: &mut dyn Progress,
) -> Result<(), ExportError> {
    let has_one_split = context.collection.splits().len() == 1;
    context.each(progress, |item| {
        let Some((face, landmarks)) = landmarks(item) else {
            staging.n_left_out += 1;
            return Ok(());
        };
        // The layout has no splits: they go into the names.
        let prefix = if has_one_split { String::new() } else { format!("{}_", item.picture.split.name()) };
        let stem = format!("{prefix}{}", item.stem());
        staging.write(&format!("images/{prefix}{}", item.name), &item.bytes)?;
        staging.count_picture();
        let array = ("landmarks", vec![landmarks.len() / 2, 2], landmarks);
        write_archive(staging, &format!("landmarks/{stem}.npz"), &array)?;
        if let Some(embedding) = &face.embedding {
            let array =
                (embedding.network.as_str(), vec![1, embedding.values.len()], embedding.values.clone());
            write_archive(staging, &format!("pretrained_features/{stem}.npz"), &array)?;
        }
        match context.options.masks {
            Some(_) => {
                let mask = labels::of(context, item)?.encode(None)?;
                staging.write(&format!("segmentations/{stem}.png"), &mask)
            }
            None => Ok(()),
        }
    })
}

/// The surest face that has landmarks, and they as x and y in turn.
fn landmarks<'a>(item: &Item<'a>) -> Option<(&'a Face, Vec<f32>)> {
    let of = |face: &'a Face| {
        let most =
            face.landmarks_110.as_ref().or(face.landmarks_106.as_ref()).or(face.landmarks_68.as_ref())?;
        Some((face, most.iter().flat_map(|point| [point.x, point.y]).collect()))
    };
    item.faces.iter().find_map(of)
}

fn write_archive(staging: &mut Staging, name: &str, array: &Array<'_>) -> Result<(), ExportError> {
    let bytes = npz(array).map_err(|error| staging.fail(name, error.into()))?;
    staging.write(name, &bytes)
}

/// What `numpy.savez` writes for one array; files in it have no time, so that equal arrays are equal bytes.
fn npz((name, shape, values): &Array<'_>) -> Result<Vec<u8>, zip::result::ZipError> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default());
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file(format!("{name}.npy"), options)?;
    archive.write_all(&npy(shape, values))?;
    Ok(archive.finish()?.into_inner())
}

/// An array in numpy's format 1.0, <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>: the head ends at a multiple of
/// 64 bytes.
fn npy(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let shape: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let head = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
    let n_before = 10;
    let length = (n_before + head.len() + 1).next_multiple_of(64) - n_before;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    // Two sides of an array take no 65,000 characters.
    bytes.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(format!("{head:<width$}\n", width = length - 1).into_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_an_array_is_that_of_numpy() {
        // numpy.lib.format.write_array of ones((2, 1), float32), version 1.0.
        let bytes = npy(&[2, 1], &[1.0, 1.0]);
        assert_eq!(bytes.len(), 128 + 8);
        assert!(bytes.starts_with(
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1,), }"
        ));
        assert_eq!(bytes[127], b'\n');
        assert_eq!(npz(&("a", vec![1], vec![0.5])).unwrap(), npz(&("a", vec![1], vec![0.5])).unwrap());
    }
}
