use super::*;
use crate::Spec;
use crate::candidate::Candidate;
use crate::fingerprint::Fingerprint;

const SPEC: &str = r#"
name = "tiny"
version = 1
template = "a {age}"
[attributes.age]
values = ["young", "old", "any"]
[quota]
by = ["age"]
per_cell = 1
[measure]
[[filters]]
measure = "n_faces"
min = 1
max = 1
[[filters]]
measure = "expression"
is = ["happy", "neutral"]
[verify.age]
measure = "age_years"
tolerance = 2
values = { young = [0, 30], old = [30, 120] }
[duplicates]
hash_bits = 3
cosine = 0.9
"#;

fn look(measures: &[(&str, Measured)], hash: u64, embedding: [f32; 2]) -> Looked {
    let fingerprint = Fingerprint { pixels_sha256: format!("{hash}"), hash };
    let measures = measures.iter().map(|(id, value)| ((*id).to_owned(), value.clone())).collect();
    Looked::Seen(Box::new(Look { fingerprint, measures, embedding: Some(embedding.to_vec()) }))
}

fn number(value: f32) -> Measured {
    Measured::Number(value)
}

#[test]
fn all_reasons_are_given_with_what_was_found_and_expected() {
    let spec = Spec::parse(SPEC).unwrap();
    let judge = Judge::new(spec.curation().unwrap());
    let items = (0..3).map(|slot| spec.candidate(Candidate { slot, attempt: 0 }).unwrap());
    let items: Vec<Item> = items.collect();
    let of = |age| items.iter().find(|item| item.attributes["age"] == age).unwrap();
    let (young, old, any) = (of("young"), of("old"), of("any"));
    let says = |item: &Item, looked: &Looked| {
        judge.reasons(item, looked).into_iter().map(|reason| reason.says).collect::<Vec<_>>()
    };
    let with = |n_faces: f32, expression: &str, age: f32| {
        let expression = Measured::Name(expression.to_owned());
        look(
            &[("n_faces", number(n_faces)), ("expression", expression), ("age_years", number(age))],
            0,
            [1.0, 0.0],
        )
    };
    assert!(says(young, &with(1.0, "happy", 20.0)).is_empty());
    assert!(says(young, &with(1.0, "happy", 31.9)).is_empty(), "within the tolerance");
    assert!(says(any, &with(1.0, "happy", 90.0)).is_empty(), "a value that is not verified");
    assert_eq!(
        says(old, &with(2.0, "sad", 20.0)),
        [
            "n_faces 2, expected 1 to 1",
            "expression sad, expected happy or neutral",
            "age \"old\" asked for, age_years 20, expected from 30, below 120"
        ]
    );
    assert_eq!(
        says(young, &look(&[("n_faces", number(0.0))], 0, [1.0, 0.0])),
        [
            "n_faces 0, expected 1 to 1",
            "expression not measured, expected happy or neutral",
            "age \"young\" asked for, age_years not measured, expected from 0, below 30"
        ]
    );
    assert_eq!(says(young, &Looked::Broken("not a PNG".to_owned())), ["not a PNG"]);
}

#[test]
fn duplicates_of_kept_pictures_are_found_in_each_way() {
    let spec = Spec::parse(SPEC).unwrap();
    let mut judge = Judge::new(spec.curation().unwrap());
    let kept = look(&[], 0b1111, [1.0, 0.0]);
    assert!(judge.duplicate_of_kept(&kept).is_empty(), "nothing is kept yet");
    judge.remember("000000-0", &kept);
    let says = |looked: &Looked| {
        judge.duplicate_of_kept(looked).into_iter().map(|reason| reason.says).collect::<Vec<_>>()
    };
    assert_eq!(says(&kept), ["the pixels of 000000-0"]);
    assert_eq!(says(&look(&[], 0b1000, [0.0, 1.0])), ["3 of 64 bits from 000000-0, expected more than 3"]);
    assert_eq!(says(&look(&[], 0xFF00, [0.95, 0.3123])), ["cosine 0.9500 to 000000-0, expected at most 0.9"]);
    assert!(says(&look(&[], 0xFF00, [0.89, 0.456])).is_empty());
}

#[test]
fn dot_products_of_any_length_are_sums_of_products() {
    for n in [0, 3, 16, 40] {
        let values: Vec<f32> = (0_u8..n).map(f32::from).collect();
        let expected: f32 = values.iter().map(|value| value * value).sum();
        assert_eq!(dot(&values, &values), expected);
    }
}
