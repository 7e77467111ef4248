//! Textual inversion files of every program.

use super::*;
use crate::{DetectError, Hints, Kind, TensorMeta, detect};

fn table(rows: &[(&str, &[usize])]) -> Table {
    let rows = rows.iter().enumerate();
    Table(
        rows.map(|(index, (name, shape))| ((*name).to_owned(), numbered(Dtype::F16, shape, index))).collect(),
    )
}

#[test]
fn a_file_of_a1111_gives_its_name_its_steps_and_its_vectors() {
    let folder = tronie_testing::repository().join("testdata/weights");
    let found = Embedding::open(&folder.join("textual_inversion.pt")).unwrap();
    let expected = SafetensorsFile::open(&folder.join("textual_inversion.safetensors")).unwrap();
    let vectors = expected.read("string_to_param.*").unwrap().unwrap();
    let expected =
        Embedding { name: "face".into(), vectors: [(Part::TextEncoder, vectors)].into(), step: Some(1500) };
    assert_eq!(found.as_slice(), std::slice::from_ref(&expected));
    // the same tensors as safetensors say neither name nor step
    let found = Embedding::open(&folder.join("textual_inversion.safetensors")).unwrap();
    assert_eq!(found, [Embedding { name: "textual_inversion".into(), step: None, ..expected }]);
}

/// Names and shapes of a file.
type Rows = &'static [(&'static str, &'static [usize])];

/// A word, the text encoders it is for, its number of vectors and its family.
type Word = (&'static str, &'static [Part], usize, Option<&'static str>);

const CASES: [(Rows, &[Word]); 7] = [
    (&[("somebody", &[2, 768])], &[("somebody", &[Part::TextEncoder], 2, Some("sd15"))]),
    (&[("emb_params", &[4, 768])], &[("stem", &[Part::TextEncoder], 4, Some("sd15"))]),
    (&[("<face>", &[1024])], &[("<face>", &[Part::TextEncoder], 1, Some("sd21"))]),
    (
        &[("<a>", &[768]), ("<b>", &[3, 768])],
        &[("<a>", &[Part::TextEncoder], 1, Some("sd15")), ("<b>", &[Part::TextEncoder], 3, Some("sd15"))],
    ),
    (
        &[("clip_g", &[2, 1280]), ("clip_l", &[2, 768])],
        &[("stem", &[Part::TextEncoder, Part::TextEncoder2], 2, Some("sdxl_base"))],
    ),
    (&[("clip_g", &[2, 1280])], &[("stem", &[Part::TextEncoder2], 2, Some("sdxl_refiner"))]),
    (&[("<tiny>", &[1, 96])], &[("<tiny>", &[Part::TextEncoder], 1, None)]),
];

#[test]
fn every_form_is_read_and_its_family_is_told() {
    for (rows, expected) in CASES {
        let file = table(rows);
        let found = Embedding::read(&file, "stem").unwrap();
        assert_eq!(found.len(), expected.len(), "{rows:?}");
        for (found, (name, parts, n_vectors, family)) in found.iter().zip(expected) {
            assert_eq!((found.name.as_str(), found.n_vectors()), (*name, *n_vectors), "{rows:?}");
            assert_eq!(found.vectors.keys().copied().collect::<Vec<_>>(), *parts, "{rows:?}");
            assert_eq!(found.family(), *family, "{rows:?}");
        }
        match detect(&file, Hints::default()) {
            Err(DetectError::Foreign { kind: Kind::Embedding, family, .. }) => {
                assert_eq!(family, expected[0].3)
            }
            other => panic!("{rows:?}: {other:?}"),
        }
    }
}

#[test]
fn what_is_written_is_read_again_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("face.safetensors");
    let forms = [EmbeddingForm::Word, EmbeddingForm::Kohya];
    let single = Embedding::read(&table(&[("face", &[2, 768])]), "").unwrap();
    let double = Embedding::read(&table(&[("clip_g", &[2, 1280]), ("clip_l", &[2, 768])]), "face").unwrap();
    let names: [&[&str]; 4] = [&["face"], &["emb_params"], &["clip_g", "clip_l"], &["clip_g", "clip_l"]];
    let cases = [&single, &double].into_iter().flat_map(|embedding| forms.map(|form| (embedding, form)));
    for ((embedding, form), names) in cases.zip(names) {
        embedding[0].save(&path, form, &BTreeMap::new()).unwrap();
        assert_eq!(SafetensorsFile::open(&path).unwrap().names(), names);
        assert_eq!(&Embedding::open(&path).unwrap(), embedding);
    }
}

#[test]
fn what_is_no_embedding_is_refused_by_name() {
    let cases: [(Rows, &str); 6] = [
        (&[], "the file holds no tensors, expected an embedding's vectors"),
        (&[("a", &[])], "tensor \"a\" is F16 [], expected floating point [n, d] or [d], none of them 0"),
        (&[("a", &[0, 768])], "tensor \"a\" is F16 [0, 768]"),
        (&[("a", &[2, 3, 768])], "tensor \"a\" is F16 [2, 3, 768]"),
        (
            &[("clip_l", &[768]), ("emb_params", &[768])],
            "\"clip_l\" and \"emb_params\" are both for text_encoder",
        ),
        (&[("clip_g", &[1, 1280]), ("clip_l", &[2, 768])], "the text encoders have [2, 1] vectors"),
    ];
    for (rows, expected) in cases {
        let error = Embedding::read(&table(rows), "stem").unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    let meta = TensorMeta { dtype: Dtype::I64, shape: vec![1, 2] };
    let whole = Table([("a".to_owned(), RawTensor { meta, bytes: vec![0; 16] })].into());
    assert!(matches!(Embedding::read(&whole, ""), Err(EmbeddingError::Shape { dtype: Dtype::I64, .. })));
}

/// The hash is `sha256sum`'s.
#[test]
fn the_hash_of_an_embedding_is_that_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("face.pt");
    std::fs::write(&path, "abc").unwrap();
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(Embedding::sha256(&path).unwrap(), expected);
    assert!(matches!(Embedding::sha256(folder.path()), Err(EmbeddingError::Open(_))));
}
