//! The numbers are checked in whole pipelines, against diffusers; here is what a file can be.

use tronie_testing::{repository, synthetic};
use tronie_weights::{Dtype, RawTensor, TensorFile, TensorMeta, WeightsFault};

use super::*;
use crate::UnetConfig;

struct Shapes(BTreeMap<String, Vec<usize>>);

impl TensorFile for Shapes {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
    fn meta(&self, name: &str) -> Option<TensorMeta> {
        Some(TensorMeta { dtype: Dtype::F32, shape: self.0.get(name)?.clone() })
    }
    fn read(&self, name: &str) -> Result<Option<RawTensor>, WeightsFault> {
        let meta = self.meta(name);
        Ok(meta.map(|meta| {
            let bytes = synthetic::weight(name, &meta.shape).into_iter().flat_map(f32::to_le_bytes).collect();
            RawTensor { meta, bytes }
        }))
    }
}

fn unet(case: &str) -> UnetConfig {
    let path = repository().join(format!("testdata/unet/{case}.config.json"));
    UnetConfig::from_json(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A plain adapter for a UNet, seeing 20 numbers.
fn plain(base: &UnetConfig, d_context: usize) -> Shapes {
    let mut shapes = BTreeMap::from([
        ("image_proj.proj.weight".to_owned(), vec![4 * d_context, 20]),
        ("image_proj.proj.bias".to_owned(), vec![4 * d_context]),
        ("image_proj.norm.weight".to_owned(), vec![d_context]),
        ("image_proj.norm.bias".to_owned(), vec![d_context]),
    ]);
    for (n, (_, width)) in base.plan().unwrap().text_sites().into_iter().enumerate() {
        for which in ["k", "v"] {
            shapes.insert(format!("layers.{n}.to_{which}_ip.weight"), vec![width, d_context]);
        }
    }
    Shapes(shapes)
}

#[test]
fn an_adapter_for_another_unet_is_refused_by_what_differs() {
    let sd15 = unet("sd15");
    let d_context = match sd15.cross_attention_dim {
        crate::PerBlock::One(d) => d,
        crate::PerBlock::Each(ref widths) => widths[0],
    };
    let refused = |file: &Shapes| IpAdapterConfig::of(&sd15, file).unwrap_err().to_string();
    let fitting = plain(&sd15, d_context);
    assert_eq!(IpAdapterConfig::of(&sd15, &fitting).unwrap().input(), ImageInput::Embedding(20));
    assert!(refused(&plain(&sd15, d_context + 4)).starts_with("it has text of width"));
    let mut short = plain(&sd15, d_context);
    short.0.remove("layers.0.to_k_ip.weight");
    assert!(refused(&short).starts_with("it has layers of widths []"));
    let mut odd = plain(&sd15, d_context);
    odd.0.insert("image_proj.proj.weight".to_owned(), vec![7, 20]);
    assert!(refused(&odd).starts_with("it has numbers for the tokens of a picture [7]"));
}

#[test]
fn rows_of_a_batch_see_what_each_is_given() {
    let (device, sd15) = (Device::flex(), unet("sd15"));
    let file = plain(&sd15, 24);
    let Ok(config) = IpAdapterConfig::of(&sd15, &file) else { panic!("the context of unet.py is 24 wide") };
    let adapter = crate::load(config.init(&device), &file, &device).unwrap();
    let [first, second] = [1.0, 0.0].map(|value| adapter.tokens(Tensor::full([1, 1, 20], value, &device)));
    let both = ImageTokens::rows(&[(&first, 2), (&second, 1)], DType::F32);
    let (site, _) = sd15.plan().unwrap().text_sites()[0];
    let ([keys, _], weight) =
        both.weighted(0.5).at(&site).map(|(layer, weight)| (layer.clone(), weight)).unwrap();
    assert_eq!((keys.dims()[..2].to_vec(), weight), (vec![3, 4], 0.5));
    let row = |index: usize| keys.clone().narrow(0, index, 1).into_data();
    assert_eq!(row(0), row(1));
    assert_ne!(row(1), row(2), "nothing to see is not nothing: the layer has a bias");
}
