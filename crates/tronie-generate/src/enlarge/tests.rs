use std::collections::BTreeMap;
use std::path::Path;

use tronie_base::Silent;
use tronie_testing::synthetic;
use tronie_weights::{Dtype, RawTensor, TensorMeta, write_safetensors};

use super::*;
use crate::StoreConfig;

fn tensor(shape: Vec<usize>, bytes: Vec<u8>) -> RawTensor {
    RawTensor { meta: TensorMeta { dtype: Dtype::F32, shape }, bytes }
}

/// Real-ESRGAN's compact network of factor 2, its weights made by `value` from their names.
fn network(path: &Path, value: impl Fn(&str, &[usize]) -> Vec<f32>) {
    let shapes: [(&str, &[usize]); 5] = [
        ("body.0.weight", &[4, 3, 3, 3]),
        ("body.0.bias", &[4]),
        ("body.1.weight", &[4]),
        ("body.2.weight", &[12, 4, 3, 3]),
        ("body.2.bias", &[12]),
    ];
    let tensors = shapes.map(|(name, shape)| {
        let bytes: Vec<u8> = value(name, shape).into_iter().flat_map(f32::to_le_bytes).collect();
        (name.to_owned(), tensor(shape.to_vec(), bytes))
    });
    write_safetensors(path, &BTreeMap::new(), tensors).unwrap();
}

fn enlarger(value: impl Fn(&str, &[usize]) -> Vec<f32>) -> Enlarger {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models/RealESRGAN");
    std::fs::create_dir_all(&models).unwrap();
    network(&models.join("twice.safetensors"), value);
    let store = Store::new(StoreConfig { models_dirs: vec![folder.path().to_owned()], hub: None });
    Enlarger::open(&store, "twice", "cpu").unwrap()
}

/// Without weights the compact network repeats pixels.
fn repeating() -> Enlarger {
    enlarger(|_, shape| vec![0.0; shape.iter().product()])
}

fn picture(width: u32, height: u32) -> Pixels {
    let bytes = (0..width * height).flat_map(|index| {
        let (x, y) = (index % width, index / width);
        [x * 7 + y * 3, x ^ y, y * 5].map(|value| value.to_le_bytes()[0])
    });
    Pixels::new(width, height, bytes.collect()).unwrap()
}

fn part(pixels: &Pixels, [left, top, width, height]: [u32; 4]) -> Pixels {
    tronie_image::crop(pixels, tronie_image::Rect { left, top, width, height }).unwrap()
}

#[test]
fn every_pixel_is_in_its_place_whatever_the_tiles() {
    let small = picture(300, 270); // two by two tiles
    let large = repeating().pass(&small, &mut Silent).unwrap();
    assert_eq!((large.width_px(), large.height_px()), (600, 540));
    for (x, y) in [(0, 0), (255, 255), (256, 256), (299, 269), (255, 256), (17, 260)] {
        let byte = |pixels: &Pixels, x: u32, y: u32| pixels.rgb()[((y * pixels.width_px() + x) * 3) as usize];
        for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            assert_eq!(byte(&large, 2 * x + dx, 2 * y + dy), byte(&small, x, y), "{x} {y}");
        }
    }
}

#[test]
fn tiles_leave_no_trace() {
    let enlarger = enlarger(synthetic::weight);
    let small = picture(300, 40);
    let whole = enlarger.pass(&small, &mut Silent).unwrap();
    // The border of the first tile, in the middle of a smaller picture.
    let around = enlarger.pass(&part(&small, [200, 0, 100, 40]), &mut Silent).unwrap();
    assert_eq!(part(&whole, [440, 0, 140, 80]), part(&around, [40, 0, 140, 80]));
    assert_ne!(whole, repeating().pass(&small, &mut Silent).unwrap());
}

#[test]
fn a_size_is_reached_by_several_passes_and_lanczos() {
    let small = picture(20, 10);
    let large = repeating().enlarge(&small, [70, 35], &mut Silent).unwrap();
    assert_eq!((large.width_px(), large.height_px()), (70, 35));
    let by_hand = {
        let twice = repeating().pass(&small, &mut Silent).unwrap();
        let four_times = repeating().pass(&twice, &mut Silent).unwrap();
        resize(&four_times, 70, 35).unwrap()
    };
    assert_eq!(large, by_hand);
}

#[test]
fn what_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    let bytes = vec![0; 4 * 12];
    let tensors = [("conv_first.weight".to_owned(), tensor(vec![2, 2, 3, 1], bytes))];
    write_safetensors(&path, &BTreeMap::new(), tensors).unwrap();
    let store = Store::new(StoreConfig { models_dirs: Vec::new(), hub: None });
    let error = Enlarger::open(&store, &path.display().to_string(), "cpu").unwrap_err().to_string();
    assert!(error.contains("other.safetensors") && error.contains("no upscaler"), "{error}");
    let error = Enlarger::open(&store, "nowhere", "cpu").unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
}
