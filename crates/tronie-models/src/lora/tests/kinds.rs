//! The kinds beside LoRA, against the modules of `LyCORIS` (`reference/adapter_kinds.py`).

use tronie_testing::{Golden, assert_close, repository};
use tronie_weights::{Magnitude, Modules, Scales};

use super::*;

/// The layers that the file changes, with the weights both sides compute.
fn layers(golden: &Golden) -> Table {
    let rows = golden.names().into_iter().map(|name| (name.to_owned(), raw(name, golden.shape(name))));
    Table(rows.collect())
}

fn of_every_kind(layers: &Table) -> Lora {
    let path = repository().join("testdata/adapters/lycoris_weights.safetensors");
    let names = layers.names();
    Lora::open(&path, Some(&Modules::of_networks([(Part::Unet, names.as_slice())]))).unwrap()
}

/// What adapters add to each tensor of the layers.
fn differences(golden: &Golden, loras: &[Acting<'_>]) -> Vec<(String, Vec<f32>)> {
    let plain = layers(golden);
    let merged = Merged::new(Box::new(layers(golden)), Part::Unet, loras, &Device::flex()).unwrap();
    let rows = plain.names().into_iter().map(|name| {
        let [new, old] = [merged.read(&name), plain.read(&name)].map(|read| numbers(&read.unwrap().unwrap()));
        (name, new.iter().zip(old).map(|(new, old)| new - old).collect())
    });
    rows.collect()
}

#[test]
fn every_kind_makes_the_weights_that_lycoris_makes() {
    let golden = Golden::open("adapters/lycoris");
    let layers = layers(&golden);
    let lora = of_every_kind(&layers);
    let kinds: Vec<_> = lora.kinds().into_iter().collect();
    assert_eq!(kinds, ["(IA)3", "DoRA", "LoCon", "LoHa", "LoKr", "full difference"]);
    let names = layers.names();
    let merged = Merged::new(Box::new(layers), Part::Unet, &[acting(&lora, 1.0)], &Device::flex()).unwrap();
    for name in names {
        println!("{name}");
        assert_close(&numbers(&merged.read(&name).unwrap().unwrap()), &golden.f32(&name), 1e-5);
    }
}

#[test]
fn strength_acts_on_the_whole_difference_and_several_adapters_add_up() {
    let golden = Golden::open("adapters/lycoris");
    let lora = of_every_kind(&layers(&golden));
    let whole = differences(&golden, &[acting(&lora, 1.0)]);
    for (strengths, expected) in [(&[0.5][..], 0.5), (&[1.5, -0.5, 0.25], 1.25)] {
        let acting: Vec<_> = strengths.iter().map(|&strength| acting(&lora, strength)).collect();
        for ((name, found), (_, whole)) in differences(&golden, &acting).into_iter().zip(&whole) {
            for (found, whole) in found.iter().zip(whole) {
                assert!(
                    (found - expected * whole).abs() < 2e-5,
                    "{name}: {found} is not {expected} of {whole}"
                );
            }
        }
    }
}

#[test]
fn pefts_ia3_multiplies_the_bias_of_outputs_too() {
    let scales = |path: &str, shape: &[usize], on_input| {
        let target = LoraTarget { part: Part::Unet, path: path.to_owned() };
        let values = raw("factors", shape);
        let weight = Some(WeightChange::Scales(Scales { values, on_input, are_factors: true }));
        (target, LoraModule { weight, magnitude: None, bias: None, alpha: 1.0 })
    };
    let lora = lora([scales("linear", &[10, 1], false), scales("conv", &[1, 6, 1, 1], true)]);
    let factors = numbers(&raw("factors", &[10, 1]));
    let bias = numbers(&base(Dtype::F32).read("linear.bias").unwrap().unwrap());
    let expected = bias.iter().zip(&factors).map(|(bias, factor)| f64::from(bias * (factor - 1.0)));
    assert_near(&change("linear.bias", &[acting(&lora, 1.0)]), expected);
    assert_near(&change("conv.bias", &[acting(&lora, 1.0)]), [0.0; 10]);
    let weight = numbers(&base(Dtype::F32).read("conv.weight").unwrap().unwrap());
    let factors = numbers(&raw("factors", &[1, 6, 1, 1]));
    let expected = weight.iter().enumerate();
    let expected = expected.map(|(at, weight)| f64::from(weight * (factors[at / 9 % 6] - 1.0)));
    assert_near(&change("conv.weight", &[acting(&lora, 1.0)]), expected);
}

#[test]
fn numbers_that_are_not_one_for_each_input_or_output_are_refused() {
    let device = Device::flex();
    let (target, plain) = module("linear", [&[2, 6], &[10, 2]], None, 1.0);
    let magnitude = |n: usize, on_input| Some(Magnitude { values: raw("length", &[n]), on_input });
    let bias = Some(raw("bias", &[9]));
    let cases = [
        (
            LoraModule { magnitude: magnitude(6, false), ..plain.clone() },
            "[6], the network has it as [10, 6]",
        ),
        (
            LoraModule { magnitude: magnitude(10, true), ..plain.clone() },
            "[10], the network has it as [10, 6]",
        ),
        (LoraModule { bias, ..plain }, "[9], the network has it as [10]"),
    ];
    for (module, expected) in cases {
        let lora = lora([(target.clone(), module)]);
        let error = apply(Net::new(&device), Part::Unet, &[acting(&lora, 1.0)], &device).unwrap_err();
        assert_eq!(error.to_string(), format!("LoRA \"film\" changes unet.linear as {expected}"));
    }
}
