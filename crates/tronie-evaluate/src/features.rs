//! A row of numbers for every picture.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use faer::{Mat, MatRef};
use npyz::{NpyFile, Order};
use safetensors::{Dtype, SafeTensors};

use crate::EvaluateError;

/// Features of pictures: n rows of d numbers, computed with in 64 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    set: &'static str,
    rows: Mat<f64>,
}

impl Features {
    /// From rows of equal length; `set` names them in errors.
    ///
    /// # Errors
    /// [`EvaluateError::OtherWidth`], [`EvaluateError::NotFinite`].
    pub fn from_rows(set: &'static str, rows: &[Vec<f64>]) -> Result<Self, EvaluateError> {
        let expected = rows.first().map_or(0, Vec::len);
        for (row, values) in rows.iter().enumerate() {
            if values.len() != expected {
                return Err(EvaluateError::OtherWidth { set, row, found: values.len(), expected });
            }
            if values.iter().any(|value| !value.is_finite()) {
                return Err(EvaluateError::NotFinite { set, row });
            }
        }
        let value =
            |row: usize, column: usize| rows.get(row).and_then(|row| row.get(column)).copied().unwrap_or(0.0);
        Ok(Self { set, rows: Mat::from_fn(rows.len(), expected, value) })
    }

    /// Reads a `.npy` file, or the one array of a `.safetensors` file.
    ///
    /// # Errors
    /// [`EvaluateError`] for what cannot be read, is no table of numbers, or holds numbers that are not finite.
    pub fn open(set: &'static str, path: &Path) -> Result<Self, EvaluateError> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let (shape, values) = match extension.as_str() {
            "npy" => read_npy(path)?,
            "safetensors" => read_safetensors(path)?,
            _ => return Err(EvaluateError::UnknownFile { path: path.to_owned() }),
        };
        let [_, width] = shape.as_slice() else {
            return Err(not_a_table(path, format!("an array of {} axes", shape.len())));
        };
        let rows: Vec<Vec<f64>> = values.chunks((*width).max(1)).map(<[f64]>::to_vec).collect();
        Self::from_rows(set, &rows)
    }

    /// Number of pictures.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.nrows()
    }

    /// Whether there is no picture.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers of each picture.
    #[must_use]
    pub fn width(&self) -> usize {
        self.rows.ncols()
    }

    pub(crate) fn set(&self) -> &'static str {
        self.set
    }

    pub(crate) fn rows(&self) -> MatRef<'_, f64> {
        self.rows.as_ref()
    }

    /// Every row scaled to length 1, for cosines.
    pub(crate) fn unit_rows(&self) -> Mat<f64> {
        let length = |row: usize| self.rows.row(row).norm_l2().max(f64::MIN_POSITIVE);
        let lengths: Vec<f64> = (0..self.len()).map(length).collect();
        let scaled =
            |row: usize, column: usize| self.rows.get(row, column) / lengths.get(row).copied().unwrap_or(1.0);
        Mat::from_fn(self.len(), self.width(), scaled)
    }

    /// Fails unless both sets are of one width.
    pub(crate) fn check_comparable(&self, other: &Self) -> Result<(), EvaluateError> {
        if self.width() == other.width() {
            return Ok(());
        }
        Err(EvaluateError::Incomparable { found: self.width(), expected: other.width() })
    }
}

type Table = (Vec<usize>, Vec<f64>);

fn read_error(path: &Path, source: io::Error) -> EvaluateError {
    EvaluateError::Read { path: path.to_owned(), source }
}

fn not_a_table(path: &Path, found: String) -> EvaluateError {
    EvaluateError::NotATable { path: path.to_owned(), found }
}

fn read_npy(path: &Path) -> Result<Table, EvaluateError> {
    let fail = |source| read_error(path, source);
    let file = NpyFile::new(BufReader::new(File::open(path).map_err(fail)?)).map_err(fail)?;
    if file.order() != Order::C {
        return Err(not_a_table(path, "an array in Fortran order".to_owned()));
    }
    let shape = file.shape().iter().map(|&side| usize::try_from(side).unwrap_or(usize::MAX)).collect();
    let dtype = file.dtype().descr();
    let values = match dtype.trim_matches('\'') {
        "<f4" => file.into_vec::<f32>().map_err(fail)?.into_iter().map(f64::from).collect(),
        "<f8" => file.into_vec::<f64>().map_err(fail)?,
        other => return Err(not_a_table(path, format!("an array of {other}"))),
    };
    Ok((shape, values))
}

fn read_safetensors(path: &Path) -> Result<Table, EvaluateError> {
    let bytes = fs::read(path).map_err(|source| read_error(path, source))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| read_error(path, io::Error::other(error)))?;
    let tensors = file.tensors();
    let [(_, tensor)] = tensors.as_slice() else {
        return Err(not_a_table(path, format!("{} arrays", tensors.len())));
    };
    let values = match tensor.dtype() {
        Dtype::F32 => {
            tensor.data().as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect()
        }
        Dtype::F64 => tensor.data().as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(),
        other => return Err(not_a_table(path, format!("an array of {other:?}"))),
    };
    Ok((tensor.shape().to_vec(), values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_table_of_numbers_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            Features::open("the pictures", &path).map_err(|error| error.to_string())
        };
        let npy = |head: &str, values: &[u8]| {
            let head = format!("{head:<117}\n");
            [b"\x93NUMPY\x01\x00\x76\x00".as_slice(), head.as_bytes(), values].concat()
        };
        let good =
            npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }", &[0, 0, 128, 63, 0, 0, 0, 64]);
        let features = open("good.npy", &good).unwrap();
        assert_eq!((features.len(), features.width(), *features.rows().get(0, 1)), (1, 2, 2.0));
        let whole = npy("{'descr': '<i8', 'fortran_order': False, 'shape': (1, 1), }", &[0; 8]);
        assert!(open("whole.npy", &whole).unwrap_err().contains("an array of <i8, expected one array"));
        let flat = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", &[0; 8]);
        assert!(open("flat.npy", &flat).unwrap_err().contains("an array of 1 axes"));
        let nan = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }", &f32::NAN.to_le_bytes());
        assert_eq!(
            open("nan.npy", &nan).unwrap_err(),
            "row 0 of the features of the pictures has a number that is not finite"
        );
        assert!(
            open("a.txt", b"").unwrap_err().ends_with("expected features in a .npy or .safetensors file")
        );
        assert!(open("cut.npy", &good[..40]).is_err());
    }
}
