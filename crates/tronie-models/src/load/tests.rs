use std::collections::BTreeMap;

use tronie_weights::TensorMeta;

use super::*;
use crate::Linear;

struct Table(BTreeMap<String, RawTensor>);

impl TensorFile for Table {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
    fn meta(&self, name: &str) -> Option<TensorMeta> {
        self.0.get(name).map(|tensor| tensor.meta.clone())
    }
    fn read(&self, name: &str) -> Result<Option<RawTensor>, WeightsFault> {
        Ok(self.0.get(name).cloned())
    }
}

/// A file whose tensors are all 2.0, as bf16 (which is exactly 0x4000).
fn table(rows: &[(&str, &[usize])]) -> Table {
    let filled = rows.iter().map(|(name, shape)| {
        let n: usize = shape.iter().product();
        let meta = TensorMeta { dtype: Dtype::BF16, shape: shape.to_vec() };
        ((*name).to_owned(), RawTensor { meta, bytes: [0x00, 0x40].repeat(n) })
    });
    Table(filled.collect())
}

#[test]
fn a_layer_takes_its_values_from_a_narrower_dtype() {
    let device = Device::flex();
    let source = table(&[("weight", &[3, 2]), ("bias", &[3])]);
    let layer = load(Linear::new(2, 3, &device), &source, &device).unwrap();
    let y = layer.forward(Tensor::<2>::ones([1, 2], &device));
    assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [6.0; 3]);
}

#[test]
fn a_missing_tensor_is_named_with_its_nearest_neighbour() {
    let device = Device::flex();
    let source = table(&[("weigth", &[3, 2]), ("bias", &[3])]);
    let error = load(Linear::new(2, 3, &device), &source, &device).unwrap_err();
    assert_eq!(error.to_string(), "1 of the network's tensors are not in the file, first \"weight\"");
    assert_eq!(error.hint().unwrap(), "the nearest name in the file is \"weigth\"");
}

#[test]
fn a_wrong_shape_is_told_with_both_shapes() {
    let device = Device::flex();
    let source = table(&[("weight", &[2, 3]), ("bias", &[3])]);
    let error = load(Linear::new(2, 3, &device), &source, &device).unwrap_err();
    assert_eq!(error.to_string(), "tensor \"weight\" is [2, 3] in the file, the network needs [3, 2]");
}

#[test]
fn edit_distance_counts_single_changes() {
    assert_eq!(edit_distance("kitten", "sitting"), 3);
    assert_eq!(edit_distance("", "abc"), 3);
    assert_eq!(edit_distance("same", "same"), 0);
}
