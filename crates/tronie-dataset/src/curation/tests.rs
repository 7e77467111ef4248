use crate::Spec;

const GOOD: &str = r#"
name = "tiny"
version = 1
template = "a {age} {mood}"
[attributes.age]
values = ["young", "old"]
[attributes.mood]
values = ["smiling", "calm"]
[quota]
by = ["age"]
per_cell = 2
[measure]
[[filters]]
measure = "sharpness"
min = 12
[verify.age]
measure = "age_years"
values = { young = [0, 30], old = [30, 120] }
[verify.mood]
measure = "expression"
values = { smiling = ["happy"], calm = ["neutral", "sad"] }
[attempts]
per_slot = 4
stop_below = 0.1
[duplicates]
hash_bits = 4
cosine = 0.9
"#;

#[test]
fn rules_do_not_change_what_a_spec_makes() {
    let with = Spec::parse(GOOD).unwrap();
    let without = Spec::parse(GOOD.split("[measure]").next().unwrap()).unwrap();
    assert_eq!(with.identity(), without.identity());
    assert_eq!(with.item(3), without.item(3));
    assert!(without.curation().is_none());
    let other = Spec::parse(&GOOD.replace("min = 12", "min = 13")).unwrap();
    assert_eq!(other.identity(), with.identity());
    assert_ne!(other.curation().unwrap().identity, with.curation().unwrap().identity);
}

/// What is replaced in [`GOOD`], by what, and how the error begins; none where the spec is still right.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "measure = \"sharpness\"",
        "measure = \"sharpnes\"",
        "[[filters]] names the measure \"sharpnes\", which does not exist",
    ),
    ("min = 12", "", "filter of \"sharpness\": expected min, max or both, min <= max"),
    ("min = 12", "min = 12\nmax = 3", "filter of \"sharpness\": expected min, max or both, min <= max"),
    ("min = 12", "is = [\"happy\"]", "filter of \"sharpness\": expected min, max or both, min <= max"),
    (
        "measure = \"sharpness\"\nmin = 12",
        "measure = \"expression\"\nmin = 1",
        "filter of \"expression\": expected is = some of: neutral, happy, sad, angry, fearful, disgusted, surprised",
    ),
    (
        "measure = \"sharpness\"",
        "measure = \"hair_area\"",
        "\"hair_area\" is made by no annotator of [measure], expected one of: bisenet, bisenet_celeba",
    ),
    (
        "measure = \"sharpness\"",
        "measure = \"taste\"",
        "[[filters]] asks for \"taste\", but [measure] names no file of one",
    ),
    (
        "[30, 120]",
        "[29, 120]",
        "[verify.age] by \"age_years\": expected values that do not overlap; tolerance is what widens a range",
    ),
    (
        "[30, 120]",
        "[30, 30]",
        "[verify.age] by \"age_years\": expected ranges [from, below] with from < below",
    ),
    (
        "[\"happy\"]",
        "[\"glad\"]",
        "[verify.mood] by \"expression\": expected names of: neutral, happy, sad, angry, fearful, disgusted, surprised",
    ),
    (
        "[\"happy\"]",
        "[\"sad\"]",
        "[verify.mood] by \"expression\": expected values that do not overlap; tolerance is what widens a range",
    ),
    ("smiling = [\"happy\"], calm", "calm", ""),
    (
        "[verify.age]",
        "[verify.years]",
        "[verify.years] names the attribute \"years\", expected one of: \"age\", \"mood\"",
    ),
    (
        "young = [0",
        "small = [0",
        "[verify.age] names the value \"small\" of \"age\", expected one of: \"young\", \"old\"",
    ),
    ("per_slot = 4", "per_slot = 0", "attempts.per_slot is 0, expected 1 to 1000"),
    ("stop_below = 0.1", "stop_below = 1.5", "attempts.stop_below is 1.5, expected a number between 0 and 1"),
    (
        "hash_bits = 4",
        "hash_bits = 40",
        "duplicates.hash_bits is 40, expected 0 to 32: unrelated pictures differ in about 32 of 64 bits",
    ),
    ("cosine = 0.9", "cosine = 1.1", "duplicates.cosine is 1.1, expected above 0 and at most 1"),
    (
        "[measure]",
        "[measure]\nannotators = [\"eagle\"]",
        "[measure]: unknown annotator \"eagle\", expected one of: ",
    ),
    ("[measure]", "", "\"sharpness\" is made by no annotator of [measure], expected one of: quality"),
];

#[test]
fn rules_that_cannot_be_meant_are_named() {
    for &(from, to, expected) in MISTAKES {
        assert!(GOOD.contains(from), "{from}");
        match Spec::parse(&GOOD.replacen(from, to, 1)) {
            Err(error) => assert!(!expected.is_empty() && error.to_string().starts_with(expected), "{error}"),
            Ok(_) => assert_eq!(expected, "", "{from} -> {to}"),
        }
    }
}

#[test]
fn values_that_are_not_verified_pass_and_measurements_have_one_class() {
    use crate::measures::Measured;
    let spec = Spec::parse(&GOOD.replace("young = [0, 30], ", "")).unwrap();
    let verification = &spec.curation().unwrap().verifications[0];
    assert!(verification.accepts("young", &Measured::Number(90.0)));
    assert!(!verification.accepts("old", &Measured::Number(29.9)));
    assert_eq!(verification.class(&Measured::Number(30.0)), Some("old"));
    assert_eq!(verification.class(&Measured::Number(120.0)), None, "a range ends below its end");
}
