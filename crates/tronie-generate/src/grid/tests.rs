use super::*;
use crate::{Hires, Source};

fn grid(axes: &[&str]) -> Grid {
    let mut grid = Grid::default();
    for axis in axes {
        grid.add(axis).unwrap();
    }
    grid
}

fn base() -> GenerateRequest {
    GenerateRequest {
        source: Some(Source::new("in.png".into())),
        ..GenerateRequest::new("a face with glasses, red hat")
    }
}

#[test]
fn columns_rows_and_sheets_are_x_y_and_z() {
    let grid = grid(&["x=sampler:euler, DPM++ 2M Karras", "y=cfg:3,7,11", "z=seed:1,2"]);
    let sheets = grid.sheets(&base()).unwrap();
    assert_eq!((sheets.len(), sheets[0].columns, sheets[0].variants.len()), (2, 2, 6));
    let last = &sheets[1].variants[5];
    assert_eq!(last.label, "sampler DPM++ 2M Karras, cfg 11, seed 2");
    assert_eq!(last.request.sampler.as_deref(), Some("DPM++ 2M Karras"));
    assert_eq!((last.request.guidance.scale, last.request.seed), (Some(11.0), 2));
    assert_eq!(sheets[0].variants[1].label, "sampler DPM++ 2M Karras, cfg 3, seed 1");
}

#[test]
fn every_axis_changes_a_request_or_says_what_it_expects() {
    let full = GenerateRequest {
        hires: Some(Hires::new(2.0)),
        refiner: Some(crate::Refiner::new("m".to_owned())),
        negative_prompt: "a face".to_owned(),
        ..base()
    };
    for row in AXES {
        let value = match row.id {
            "sampler" => "heun",
            "schedule" => "karras",
            "size" => "64x96",
            "profile" => "comfy",
            "strength" | "hires_strength" | "refiner_at" | "cfg_rescale" => "0.25",
            _ => "5",
        };
        let first = if matches!(row.id, "prompt" | "negative") { "face" } else { value };
        let mut changed = full.clone();
        (row.set)(&mut changed, value, first).unwrap();
        assert_ne!(changed, full, "{}", row.id);
        let nonsense = (row.set)(&mut full.clone(), "many", "absent");
        assert!(nonsense.is_none() || row.id == "model", "{}", row.id);
    }
}

#[test]
fn words_of_a_prompt_are_replaced_by_every_value() {
    let sheet = grid(&["x=prompt:glasses,\"a beard, grey\",no hair"]).sheets(&base()).unwrap().remove(0);
    let prompts: Vec<&str> = sheet.variants.iter().map(|variant| variant.request.prompt.as_str()).collect();
    assert_eq!(
        prompts,
        [
            "a face with glasses, red hat",
            "a face with a beard, grey, red hat",
            "a face with no hair, red hat"
        ]
    );
}

#[test]
fn a_matrix_has_every_combination_of_its_parts() {
    let request = GenerateRequest::new("a [man|woman] | glasses|smiling | red hat");
    let sheet = matrix(&request).unwrap();
    assert_eq!((sheet.variants.len(), sheet.columns), (8, 4));
    assert_eq!(sheet.variants[0].request.prompt, "a [man|woman]");
    assert_eq!(sheet.variants[0].label, "a [man|woman]");
    assert_eq!(sheet.variants[5].request.prompt, "a [man|woman], glasses, red hat");
    assert_eq!(sheet.variants[5].label, "glasses, red hat");
    let mut prompts: Vec<_> = sheet.variants.iter().map(|variant| &variant.request.prompt).collect();
    prompts.sort();
    prompts.dedup();
    assert_eq!(prompts.len(), 8);
}

#[test]
fn what_is_no_grid_is_said() {
    let failing = |text: &str| Grid::default().add(text).unwrap_err().to_string();
    assert!(failing("sampler:euler").contains("expected x, y or z, what varies"));
    assert!(failing("w=cfg:3").contains("expected x, y or z, what varies"));
    assert!(failing("x=colour:red").starts_with("grid is \"x=colour:red\", expected one of sampler, "));
    assert!(failing("x=cfg:3,,7").contains("expected a value between all commas"));
    let mut twice = grid(&["x=cfg:3"]);
    assert!(twice.add("x=steps:3").unwrap_err().to_string().ends_with("expected x only once"));
    let wrong = |axis: &str| grid(&[axis]).sheets(&base()).unwrap_err().to_string();
    assert_eq!(wrong("x=cfg:3,much"), "cfg is \"much\", expected a number in a grid");
    assert_eq!(
        wrong("x=hires_strength:0.5"),
        "hires_strength is \"0.5\", expected a number, with hires in a grid"
    );
    assert_eq!(wrong("y=steps:3,0"), "steps is 0, expected 1 to 1000");
    let many: Vec<String> = (0..1001).map(|seed| seed.to_string()).collect();
    assert_eq!(wrong(&format!("x=seed:{}", many.join(","))), "grid is 1001 images, expected at most 1000");
    assert!(matrix(&GenerateRequest::new("a face")).unwrap_err().to_string().contains("without parts"));
    let long = format!("a{}", "|b".repeat(70));
    assert!(matrix(&GenerateRequest::new(&long)).is_err());
}
