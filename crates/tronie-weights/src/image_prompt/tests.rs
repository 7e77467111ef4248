use std::collections::BTreeMap;

use super::*;
use crate::layout::testing::numbered;
use crate::{Dtype, write_safetensors};

fn file(folder: &Path, names: &[&str]) -> PathBuf {
    let path = folder.join("adapter.safetensors");
    let rows = names.iter().map(|name| ((*name).to_owned(), numbered(Dtype::F16, &[2, 2], 0)));
    write_safetensors(&path, &BTreeMap::new(), rows).unwrap();
    path
}

#[test]
fn layers_are_counted_without_those_that_look_at_the_picture_itself() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["ip_adapter.1.to_k_ip.weight", "ip_adapter.11.to_v_ip.weight", "image_proj.proj.weight"];
    let adapter = IpAdapterFile::open(&file(folder.path(), &names)).unwrap();
    let expected = ["image_proj.proj.weight", "layers.0.to_k_ip.weight", "layers.5.to_v_ip.weight"];
    assert_eq!(adapter.tensors.names(), expected);
}

#[test]
fn files_of_something_else_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |names: &[&str]| {
        let path = file(folder.path(), names);
        let adapter = IpAdapterFile::open(&path).err().unwrap();
        let encoder = ImageEncoderFile::open(&path).err().unwrap();
        assert!(adapter.hint().is_some() && encoder.to_string().ends_with("is not a CLIP image encoder"));
        adapter.to_string()
    };
    assert!(refused(&["conv_in.weight"]).ends_with("adapter.safetensors is not an IP-Adapter"));
    let face = ["image_proj.proj.0.weight", "ip_adapter.0.to_q_lora.down.weight"];
    assert!(refused(&face).contains("is a FaceID adapter"));
}
