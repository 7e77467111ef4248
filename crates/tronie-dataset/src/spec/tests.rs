use std::collections::BTreeMap;

use tronie_base::Faulty as _;

use super::*;
use crate::{Rate, plan};

/// A small spec that is right; cases change one thing of it.
const GOOD: &str = r#"
name = "small"
version = 1
template = "a {age} {sex}, {hair}"
negative_prompt = "blurry"

[attributes.sex]
values = ["man", "woman"]

[attributes.age]
values = ["young", { id = "old", text = "{n} year old", number = [60, 80], extra = "wrinkles" }]

[attributes.hair]
values = [
  { id = "any", text = "", weight = 3 },
  { id = "moustache", only_if = { sex = "man" }, negative = "beard" },
]

[quota]
by = ["sex", "age"]
per_cell = 5
"#;

fn error_of(text: &str) -> SpecError {
    Spec::parse(text).expect_err("the spec is wrong")
}

#[test]
fn a_spec_becomes_items() {
    let spec = Spec::parse(GOOD).unwrap();
    assert_eq!((spec.n_images(), spec.cells().len()), (20, 4));
    let cells: Vec<_> = spec.cells().iter().map(|cell| cell.name.as_str()).collect();
    assert_eq!(cells, ["man / young", "man / old", "woman / young", "woman / old"]);
    for index in 0..20 {
        let item = spec.item(index).unwrap();
        let sex = &item.attributes["sex"];
        let hair = if item.attributes["hair"] == "any" { "" } else { ", moustache" };
        let expected = match item.numbers.get("age") {
            None => format!("a young {sex}{hair}"),
            Some(age) => {
                assert!((60..=80).contains(age));
                format!("a {age} year old {sex}{hair}, wrinkles")
            }
        };
        assert_eq!(item.prompt, expected);
        assert_eq!(item.negative_prompt, if hair.is_empty() { "blurry" } else { "blurry, beard" });
        assert_eq!(item.seed, tronie_base::derive_seed(spec.identity(), index));
        assert_eq!(item.file_name, format!("images/{index:06}.png"));
        assert!(hair.is_empty() || sex == "man");
    }
    assert_eq!(spec.item(20), None);
}

#[test]
fn identity_is_what_a_spec_means() {
    let identity = |text: &str| Spec::parse(text).unwrap().identity().to_owned();
    let original = identity(GOOD);
    let same = [
        GOOD.replace("[quota]", "# a comment\n[quota]"),
        GOOD.replace("weight = 3", "weight = 3.0"),
        GOOD.replace("\"man\", \"woman\"", "{ id = \"man\" }, { id = \"woman\", weight = 1 }"),
        GOOD.replace("version = 1", "version = 1\ndescription = \"for tests\""),
        GOOD.replace("sex = \"man\"", "sex = [\"man\"]"),
    ];
    for text in same {
        assert_eq!(identity(&text), original, "{text}");
    }
    let other = [
        GOOD.replace("version = 1", "version = 2"),
        GOOD.replace("\"small\"", "\"big\""),
        GOOD.replace("per_cell = 5", "per_cell = 6"),
        GOOD.replace("weight = 3", "weight = 4"),
        GOOD.replace("wrinkles", "Wrinkles"),
        format!("{GOOD}\n[generation]\nsteps = 20"),
    ];
    for text in other {
        assert_ne!(identity(&text), original, "{text}");
    }
}

/// (what is replaced, by what, the message; an empty one where the spec stays right)
const MISTAKES: &[(&str, &str, &str)] = &[
    ("name = \"small\"", "name = \"a b\"", "name \"a b\", expected letters, digits, \"-\" and \"_\""),
    (
        "template",
        "tempalte",
        "line 4, column 1: unknown field `tempalte`, expected one of `name`, `version`, `description`, `template`, `negative_prompt`, `generation`, `attributes`, `quota`, `rows`, `exclude`, `total`, `measure`, `filters`, `verify`, `attempts`, `duplicates`",
    ),
    (
        "weight = 3",
        "wieght = 3",
        "line 15, column 28: unknown field `wieght`, expected one of `id`, `text`, `weight`, `number`, `extra`, `negative`, `only_if`",
    ),
    ("version = 1", "version = \"1\"", "line 3, column 11: invalid type: string \"1\", expected u32"),
    ("version = 1\n", "", "line 1, column 1: missing field `version`"),
    (
        "[\"man\", \"woman\"]",
        "[\"man\", 7]",
        "line 8, column 18: invalid type: integer `7`, expected a string or a table with an id",
    ),
    (
        "{age} {sex}",
        "{age {sex}",
        "template: brace at character 3 is not part of a {slot}; write {{ or }} for a brace",
    ),
    ("{sex}", "{sax}", "template has a slot {sax}, but there is no attribute of that name"),
    (", {hair}", ", {sex}", ""), // hair has a negative text, so it is still used
    ("{sex}", "man", "attribute \"sex\" is in no slot and has no extra or negative text"),
    ("[\"man\", \"woman\"]", "[]", "attribute \"sex\" has no values"),
    ("\"woman\"", "\"man\"", "attribute \"sex\" has the value \"man\" twice"),
    ("weight = 3", "weight = -1", "attribute \"hair\", value \"any\": weight -1, expected 0 to 1000000"),
    ("weight = 3", "weight = nan", "attribute \"hair\", value \"any\": weight NaN, expected 0 to 1000000"),
    (
        "[60, 80]",
        "[80, 60]",
        "attribute \"age\", value \"old\": expected number = [smallest, largest] together with {n} in every text",
    ),
    (
        "{n} year old",
        "old",
        "attribute \"age\", value \"old\": expected number = [smallest, largest] together with {n} in every text",
    ),
    (
        "by = [\"sex\", \"age\"]",
        "by = [\"sex\", \"ages\"]",
        "quota names the attribute \"ages\", expected one of: \"age\", \"hair\", \"sex\"",
    ),
    (
        "sex = \"man\"",
        "sex = \"male\"",
        "attribute \"hair\" names the value \"male\" of \"sex\", expected one of: \"man\", \"woman\"",
    ),
    (
        "sex = \"man\"",
        "hair = \"any\"",
        "attribute \"hair\" depends on \"hair\", which has conditions itself, expected one without",
    ),
    ("by = [\"sex\", \"age\"]", "by = [\"sex\", \"sex\"]", "quota uses the attribute \"sex\" twice"),
    (
        "[quota]\nby = [\"sex\", \"age\"]\nper_cell = 5",
        "",
        "neither [quota] nor [[rows]], expected one of them",
    ),
    (
        "[quota]",
        "[[rows]]\nname = \"x\"\ncount = 1\n[quota]",
        "both [quota] and [[rows]], expected one of them",
    ),
    (
        "per_cell = 5",
        "per_cell = 0",
        "cell \"man / young\" has a count of 0, expected at least 1; leave it out with [[exclude]] and a reason",
    ),
    ("per_cell = 5", "per_cell = 2500001", "10000004 images, expected at most 10000000"),
    ("version = 1", "version = 1\ntotal = 21", "the cells add up to 20 images, expected total = 21"),
    (
        "weight = 3",
        "weight = 0",
        "cell \"woman / young\": no value of \"hair\" is left to draw with sex = woman",
    ),
    (
        "by = [\"sex\", \"age\"]",
        "by = [\"sex\", \"hair\"]",
        "cell \"woman / moustache\": \"moustache\" of \"hair\" needs \"sex\" to be one of: \"man\"; found \"woman\"",
    ),
    (
        "by = [\"sex\", \"age\"]",
        "by = [\"hair\"]",
        "cell \"moustache\": \"moustache\" of \"hair\" needs \"sex\" to be one of: \"man\"; found drawn",
    ),
    (
        "[quota]",
        "[[exclude]]\nwhen = { hair = \"any\" }\nreason = \"x\"\n[quota]",
        "[[exclude]] \"hair = any\" matches no cell",
    ),
    (
        "[quota]",
        "[[exclude]]\nwhen = {}\nreason = \"x\"\n[quota]",
        "no cells are left: every one is excluded",
    ),
    (
        "[quota]",
        "[generation]\nformat = \"gif\"\n[quota]",
        "generation.format is \"gif\", expected \"png\", \"jpeg\" or \"webp\"",
    ),
    (
        "[quota]\nby = [\"sex\", \"age\"]\nper_cell = 5",
        "[[rows]]\nname = \"x\"\ncount = 1\n[[rows]]\nname = \"x\"\ncount = 1",
        "cell \"x\" is there twice",
    ),
    (
        "[quota]\nby = [\"sex\", \"age\"]\nper_cell = 5",
        "[[rows]]\nname = \"x\"\ncount = 1\nset = { sex = \"x\" }",
        "row \"x\" names the value \"x\" of \"sex\", expected one of: \"man\", \"woman\"",
    ),
];

#[test]
fn every_mistake_has_its_message() {
    for &(from, to, expected) in MISTAKES {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        match Spec::parse(&text) {
            Ok(_) => assert_eq!(expected, "", "{to}"),
            Err(error) => assert_eq!(error.to_string(), expected, "{to}"),
        }
    }
}

#[test]
fn slips_are_answered_with_the_name_that_was_meant() {
    let cases = [
        ("template", "tempalte", "did you mean \"template\"?"),
        ("{sex}", "{sax}", "did you mean {sex}?"),
        ("{sex}", "{mouth}", "add [attributes.mouth]"),
        ("{sex}", "man", "write {sex} into the template"),
        ("by = [\"sex\", \"age\"]", "by = [\"hair\"]", "add sex to the row's set or for_each"),
    ];
    for (from, to, expected) in cases {
        let error = error_of(&GOOD.replacen(from, to, 1));
        assert_eq!(error.hint().as_deref(), Some(expected));
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Spec::open(Path::new("no/such/spec.toml")).unwrap_err();
    assert!(error.to_string().starts_with("no/such/spec.toml: cannot read: "), "{error}");
    assert_eq!(error.fault(), tronie_base::Fault::Input);
}

fn shipped(name: &str) -> Spec {
    Spec::open(&tronie_testing::repository().join("specs").join(name)).unwrap()
}

#[test]
fn shipped_specs_say_what_they_promise() {
    let mini = shipped("portraits-mini.toml");
    assert_eq!((mini.cells().len(), mini.n_images()), (24, 96));
    assert_eq!(mini.item(0).unwrap().attributes.len(), 4);
    for name in ["regularization-man.toml", "regularization-woman.toml"] {
        let spec = shipped(name);
        assert_eq!((spec.cells().len(), spec.n_images()), (30, 1500));
        let word = name.trim_start_matches("regularization-").trim_end_matches(".toml");
        for index in 0..1500 {
            let item = spec.item(index).unwrap();
            assert!(item.prompt.starts_with(&format!("photo of a {word}, ")), "{}", item.prompt);
        }
    }
}

#[test]
fn agfd_has_the_published_grid() {
    let spec = shipped("agfd.toml");
    // Published: (group, male, female)
    let groups = [
        ("Age", 2100, 2100),
        ("Emotion", 1200, 1200),
        ("Occlusion", 1800, 1800),
        ("Illumination", 900, 900),
        ("Large pose", 2300, 2300),
        ("Hair", 900, 900),
        ("Others", 1500, 1200),
    ];
    let mut found = BTreeMap::new();
    for cell in spec.cells() {
        *found.entry((cell.group.as_str(), cell.values["sex"].as_str())).or_insert(0) += cell.count;
    }
    for (group, male, female) in groups {
        assert_eq!((found[&(group, "male")], found[&(group, "female")]), (male, female), "{group}");
    }
    assert_eq!((spec.n_images(), spec.cells().len(), spec.excluded().len()), (21_100, 45, 1));
    assert_eq!(spec.excluded()[0].cell, "moustache / female");
    let plan = plan(&spec, Rate { seconds_per_image: 2.0, bytes_per_image: 400_000 });
    assert_eq!((plan.n_bytes, plan.seconds, plan.examples.len()), (8_440_000_000, 42_200.0, 8));
    let seeds: std::collections::BTreeSet<_> =
        (0..21_100).map(|index| spec.item(index).unwrap().seed).collect();
    assert!(seeds.len() > 21_000);
}
