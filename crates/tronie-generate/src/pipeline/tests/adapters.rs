//! Adapters of every kind in whole pipelines, against diffusers with PEFT (`reference/adapter_kinds.py`).

use super::*;

/// Writes PEFT's folder of an adapter of a kind, with the values both sides compute, and returns the file of its weights.
fn write_adapter(kind: &str, to: &Path) -> PathBuf {
    let json = std::fs::read(repository().join("testdata/pipeline/kinds.json")).unwrap();
    let mut kinds: Value = serde_json::from_slice(&json).unwrap();
    let row = kinds[kind].take();
    let (factor, shapes) = (row["factor"].as_f64().unwrap(), row["shapes"].as_object().unwrap());
    let tensors = shapes.iter().map(|(name, shape)| {
        let shape: Vec<usize> = serde_json::from_value(shape.clone()).unwrap();
        let multiplies = name.ends_with("ia3_l") || name.ends_with("lora_magnitude_vector");
        let name = format!("base_model.model.{name}");
        #[expect(clippy::cast_possible_truncation, reason = "the factor is one of f32")]
        let values: Vec<f32> = match multiplies {
            // the values of a norm's gain
            true => synthetic::weight(&format!("{name}.weight"), &[shape.iter().product()]),
            false => {
                synthetic::weight(&name, &shape).into_iter().map(|value| value * factor as f32).collect()
            }
        };
        let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
        (name, RawTensor { meta: TensorMeta { dtype: Dtype::F32, shape }, bytes })
    });
    let folder = to.join(kind);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("adapter_config.json"), row["config"].to_string()).unwrap();
    let path = folder.join("adapter_model.safetensors");
    write_safetensors(&path, &BTreeMap::new(), tensors).unwrap();
    path
}

#[test]
fn every_kind_gives_the_picture_that_diffusers_makes_with_peft() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    write_folder("sd15", &model);
    let pipeline = load(&model, &[]);
    for kind in ["loha", "lokr", "ia3", "dora"] {
        let path = write_adapter(kind, folder.path());
        let request = tagged(&model, &format!("<lora:{}>", path.display()));
        assert_golden(&format!("sd15_{kind}"), &make(&pipeline, &request).pixels);
    }
}

#[test]
fn an_adapter_of_another_family_is_refused_by_its_first_tensors_whatever_its_kind() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    write_folder("sdxl", &model);
    let pipeline = load(&model, &[]);
    for kind in ["loha", "lokr", "ia3", "dora"] {
        let path = write_adapter(kind, folder.path());
        let error = pipeline.resolve(&tagged(&model, &format!("<lora:{}>", path.display()))).unwrap_err();
        assert!(
            error.to_string().contains("belong to no module of the model, first [\"base_model"),
            "{error}"
        );
    }
}
