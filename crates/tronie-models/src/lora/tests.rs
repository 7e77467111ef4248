mod kinds;

use std::collections::BTreeMap;

use tronie_base::{Faulty as _, Silent};
use tronie_tensor::burn;
use tronie_testing::synthetic;
use tronie_weights::{
    Dtype, LoraModule, LoraTarget, Product, RawTensor, TensorFile, TensorMeta, WeightChange, WeightsFault,
};

use super::*;
use crate::synthetic::{SyntheticFile, filled};
use crate::{Conv2d, Linear};

/// One layer of every kind that a LoRA changes.
#[derive(Module, Debug)]
struct Net {
    linear: Linear,
    conv: Conv2d,
    pointwise: Conv2d,
}

impl Net {
    fn new(device: &Device) -> Self {
        Self {
            linear: Linear::new(6, 10, device),
            conv: Conv2d::same_3x3(6, 10, device),
            pointwise: Conv2d::pointwise(6, 10, device),
        }
    }

    /// Everything it computes from one map, layer by layer.
    fn outputs(&self) -> Vec<f32> {
        let x = Tensor::<1>::from_data(synthetic::weight("x", &[4 * 4 * 6]).as_slice(), &Device::flex());
        let x = x.reshape([1, 4, 4, 6]);
        let y = Tensor::cat(
            vec![self.linear.forward(x.clone()), self.conv.forward(x.clone()), self.pointwise.forward(x)],
            3,
        );
        y.into_data().try_to_vec().unwrap()
    }
}

fn raw(name: &str, shape: &[usize]) -> RawTensor {
    let bytes = synthetic::weight(name, shape).into_iter().flat_map(f32::to_le_bytes).collect();
    RawTensor { meta: TensorMeta { dtype: Dtype::F32, shape: shape.to_vec() }, bytes }
}

fn numbers(tensor: &RawTensor) -> Vec<f32> {
    let (numbers, _) = tensor.bytes.as_chunks::<4>();
    numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn module(
    name: &str,
    [down, up]: [&[usize]; 2],
    mid: Option<&[usize]>,
    alpha: f32,
) -> (LoraTarget, LoraModule) {
    let factor = |which: &str, shape: &[usize]| raw(&format!("{name}.{which}.weight"), shape);
    let mid = mid.map(|shape| factor("mid", shape));
    let target = LoraTarget { part: Part::Unet, path: name.to_owned() };
    let product = Product { down: factor("down", down), mid, up: factor("up", up) };
    let weight = Some(WeightChange::LowRank(product));
    (target, LoraModule { weight, magnitude: None, bias: None, alpha })
}

fn lora(modules: impl IntoIterator<Item = (LoraTarget, LoraModule)>) -> Lora {
    Lora { modules: modules.into_iter().collect(), family: None, metadata: BTreeMap::new() }
}

/// A change of every layer: a matrix, a whole kernel, and a matrix for a 1x1 convolution.
fn whole() -> Lora {
    lora([
        module("linear", [&[2, 6], &[10, 2]], None, 1.0),
        module("conv", [&[3, 6, 3, 3], &[10, 3, 1, 1]], None, 6.0),
        module("pointwise", [&[2, 6], &[10, 2]], None, 2.0),
    ])
}

fn acting(lora: &Lora, strength: f32) -> Acting<'_> {
    Acting { name: "film", lora, strength }
}

fn base(dtype: Dtype) -> Box<dyn TensorFile> {
    Box::new(SyntheticFile::of(&Net::new(&Device::flex()), dtype))
}

/// A merged weight's distance from its base.
fn change(name: &str, loras: &[Acting<'_>]) -> Vec<f32> {
    let merged = Merged::new(base(Dtype::F32), Part::Unet, loras, &Device::flex()).unwrap();
    let [new, old] =
        [merged.read(name), base(Dtype::F32).read(name)].map(|read| numbers(&read.unwrap().unwrap()));
    new.iter().zip(old).map(|(new, old)| new - old).collect()
}

fn assert_near(found: &[f32], expected: impl IntoIterator<Item = f64>) {
    let expected: Vec<f64> = expected.into_iter().collect();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} is not {expected}");
    }
}

/// The factors of a LoRA.
fn factors(module: &LoraModule) -> &Product {
    match &module.weight {
        Some(WeightChange::LowRank(product)) => product,
        other => panic!("expected a LoRA, found {other:?}"),
    }
}

/// `scale * sum over r of up[o, r] * down[r, i]`, in f64.
fn product(module: &LoraModule, scale: f64) -> Vec<f64> {
    let Product { down, up, .. } = factors(module);
    let (down, up, rank) = (numbers(down), numbers(up), module.rank().unwrap());
    let columns = down.len() / rank;
    let cell = |o: usize, i: usize| -> f64 {
        (0..rank).map(|r| f64::from(up[o * rank + r]) * f64::from(down[r * columns + i])).sum()
    };
    (0..10).flat_map(|o| (0..columns).map(move |i| (o, i))).map(|(o, i)| scale * cell(o, i)).collect()
}

#[test]
fn every_layer_gets_strength_times_alpha_over_rank_times_up_times_down() {
    let lora = whole();
    for (target, module) in &lora.modules {
        let scale = 0.8 * f64::from(module.scale());
        let name = format!("{}.weight", target.path);
        assert_near(&change(&name, &[acting(&lora, 0.8)]), product(module, scale));
    }
    assert_near(&change("linear.bias", &[acting(&lora, 0.8)]), [0.0; 10]);
}

#[test]
fn the_tucker_form_is_the_convolution_of_its_three_convolutions() {
    let (target, tucker) = module("conv", [&[2, 6, 1, 1], &[10, 2, 1, 1]], Some(&[2, 2, 3, 3]), 4.0);
    let Product { down, mid, up } = factors(&tucker);
    let [down, mid, up] = [down, mid.as_ref().unwrap(), up].map(numbers);
    let cell = |o: usize, i: usize, k: usize| -> f64 {
        let pairs = (0..2).flat_map(|to| (0..2).map(move |from| (to, from)));
        let terms =
            pairs.map(|(to, from)| [up[o * 2 + to], mid[(to * 2 + from) * 9 + k], down[from * 6 + i]]);
        terms.map(|factors| factors.into_iter().map(f64::from).product::<f64>()).sum()
    };
    let expected = (0..10).flat_map(|o| (0..6).flat_map(move |i| (0..9).map(move |k| (o, i, k))));
    let expected: Vec<f64> = expected.map(|(o, i, k)| 2.0 * cell(o, i, k)).collect();
    assert_near(&change("conv.weight", &[acting(&lora([(target, tucker)]), 1.0)]), expected);
}

#[test]
fn several_loras_add_up_and_strength_zero_changes_no_bit() {
    let (first, second) = (whole(), lora([module("linear", [&[4, 6], &[10, 4]], None, 4.0)]));
    let both = change("linear.weight", &[acting(&first, 0.5), acting(&second, -2.0)]);
    let (target, module) = second.modules.first_key_value().unwrap();
    let parts = product(&first.modules[target], 0.25).into_iter().zip(product(module, -2.0));
    assert_near(&both, parts.map(|(first, second)| first + second));
    let device = Device::flex();
    let plain = filled(Net::new(&device), Dtype::F16, &device);
    let silent = apply(plain.clone(), Part::Unet, &[acting(&first, 0.0)], &device).unwrap();
    assert_eq!(plain.outputs(), silent.outputs());
    let elsewhere = apply(plain.clone(), Part::TextEncoder, &[acting(&first, 1.0)], &device).unwrap();
    assert_eq!(plain.outputs(), elsewhere.outputs());
}

#[test]
fn a_network_with_a_lora_is_the_network_of_the_merged_file_in_every_dtype() {
    let (device, lora) = (Device::flex(), whole());
    let loras = [acting(&lora, 0.7), acting(&lora, 0.2)];
    for dtype in [Dtype::F16, Dtype::F32] {
        let plain = filled(Net::new(&device), dtype, &device);
        let applied = apply(plain.clone(), Part::Unet, &loras, &device).unwrap();
        let merged = Merged::new(base(dtype), Part::Unet, &loras, &device).unwrap();
        assert_eq!(merged.meta("conv.weight").unwrap().dtype, dtype);
        let loaded = crate::load(Net::new(&device), &merged, &device).unwrap();
        assert_eq!(applied.outputs(), loaded.outputs(), "{dtype:?}");
        assert_ne!(applied.outputs(), plain.outputs(), "{dtype:?}");
    }
}

#[test]
fn what_does_not_fit_is_named_with_what_the_network_has() {
    let device = Device::flex();
    let refused = |modules| {
        let lora = lora([modules]);
        apply(Net::new(&device), Part::Unet, &[acting(&lora, 0.0)], &device).unwrap_err()
    };
    let error = refused(module("linaer", [&[2, 6], &[10, 2]], None, 1.0));
    assert_eq!(error.to_string(), "LoRA \"film\" changes unet.linaer, which the network does not have");
    assert!(error.hint().unwrap().starts_with("the nearest module is \"linear\""));
    for (name, factors, found) in [
        ("linear", [&[2, 7][..], &[10, 2]], "[10, 7, 1, 1], the network has it as [10, 6]"),
        ("conv", [&[2, 6, 1, 1], &[10, 2, 1, 1]], "[10, 6, 1, 1], the network has it as [10, 6, 3, 3]"),
    ] {
        let error = refused(module(name, factors, None, 1.0));
        assert_eq!(error.to_string(), format!("LoRA \"film\" changes unet.{name} as {found}"));
    }
}

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

/// A model and what became of it: changes of rank 4, and a bias that moved.
fn two_models() -> [Table; 2] {
    let change = lora([
        module("linear", [&[4, 6], &[10, 4]], None, 4.0),
        module("conv", [&[4, 6, 3, 3], &[10, 4, 1, 1]], None, 4.0),
    ]);
    let changed =
        Merged::new(base(Dtype::F32), Part::Unet, &[acting(&change, 0.1)], &Device::flex()).unwrap();
    let table = |file: &dyn TensorFile| {
        Table(
            file.names().into_iter().map(|name| (name.clone(), file.read(&name).unwrap().unwrap())).collect(),
        )
    };
    let [old, mut new] = [table(base(Dtype::F32).as_ref()), table(&changed)];
    new.0.insert("conv.bias".to_owned(), raw("moved", &[10]));
    [old, new]
}

/// Largest difference of a weight between the tuned model and the base with what was extracted at a rank.
fn error_at(rank: usize, name: &str) -> f32 {
    let [old, new] = two_models();
    let found = extract(Part::Unet, [&old, &new], rank, &mut Silent).unwrap();
    let wanted = numbers(&new.0[name]);
    let lora = lora(found.modules);
    let merged = Merged::new(Box::new(old), Part::Unet, &[acting(&lora, 1.0)], &Device::flex()).unwrap();
    let again = numbers(&merged.read(name).unwrap().unwrap());
    let pairs = again.iter().zip(&wanted);
    pairs.map(|(again, wanted)| (again - wanted).abs()).fold(0.0, f32::max)
}

#[test]
fn a_change_of_rank_four_is_found_again_at_rank_four_and_not_below() {
    for name in ["linear.weight", "conv.weight"] {
        assert!(error_at(4, name) < 1e-6, "{name}: {}", error_at(4, name));
        assert!(error_at(2, name) > 1e-3, "{name}: {}", error_at(2, name));
        assert!(error_at(1000, name) < 1e-6, "{name}: more than the weight's own rank is cut to it");
    }
}

#[test]
fn what_is_equal_is_skipped_and_what_is_no_matrix_is_left_and_named() {
    let [old, new] = two_models();
    let found = extract(Part::Unet, [&old, &new], 4, &mut Silent).unwrap();
    let shapes = found.modules.iter().map(|(target, module)| {
        let Product { down, up, .. } = factors(module);
        (target.path.as_str(), down.meta.shape.clone(), up.meta.shape.clone(), module.alpha)
    });
    let shapes: Vec<_> = shapes.collect();
    let expected =
        [("conv", vec![4, 6, 3, 3], vec![10, 4, 1, 1], 4.0), ("linear", vec![4, 6], vec![10, 4], 4.0)];
    assert_eq!(shapes, expected);
    assert_eq!(found.left, ["unet.conv.bias"]);
    let of_vae = extract(Part::Vae, [&old, &new], 4, &mut Silent).unwrap();
    assert_eq!(
        (of_vae.modules.len(), of_vae.left.len()),
        (0, 3),
        "no program reads a LoRA of an autoencoder"
    );
}

#[test]
fn models_of_different_networks_are_refused() {
    let [old, mut new] = two_models();
    new.0.insert("linear.weight".to_owned(), raw("other", &[10, 5]));
    let error = extract(Part::Unet, [&old, &new], 4, &mut Silent).unwrap_err();
    let expected = "tensor \"linear.weight\" is [10, 6] in the base model and [10, 5] in the tuned one";
    assert_eq!(error.to_string(), expected);
    new.0.remove("linear.weight");
    let error = extract(Part::Unet, [&old, &new], 4, &mut Silent).unwrap_err();
    let expected = "tensor \"linear.weight\" is in the base model and not in the tuned one";
    assert_eq!(error.to_string(), expected);
    new.0.insert("linear.weight".to_owned(), raw("x", &[10, 6]));
    new.0.get_mut("linear.weight").unwrap().bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let error = extract(Part::Unet, [&old, &new], 4, &mut Silent).unwrap_err();
    assert!(error.to_string().contains("no singular value decomposition"), "{error}");
}
