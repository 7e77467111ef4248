use tronie_generate::{ControlMode, ControlPicture};
use tronie_image::Fit;

use super::*;

#[test]
fn a_unit_is_read_from_one_word() {
    let unit =
        parse_control("canny=a/face.png,model=c11,weight=0.8,end=0.5,mode=prompt,fit=crop,low=30").unwrap();
    let expected = ControlUnit {
        preprocessor: Preprocessor::Canny { low: 30, high: 200 },
        weight: 0.8,
        end: 0.5,
        mode: ControlMode::Prompt,
        fit: Some(Fit::Crop),
        ..ControlUnit::new(PathBuf::from("a/face.png"), "c11")
    };
    assert_eq!(unit, expected);
    let plain = parse_control("a=b.png,model=c11").unwrap();
    assert_eq!(plain, ControlUnit::new(PathBuf::from("a=b.png"), "c11"), "a file may have a = in its name");
}

#[test]
fn a_union_is_told_the_kind_of_picture() {
    let unit = parse_control("a.png,model=union,kind=soft_edge").unwrap();
    assert_eq!(unit.kind, Some(ControlPicture::SoftEdge));
}

#[test]
fn a_picture_that_is_looked_at_is_read_from_one_word() {
    let found =
        parse_image_prompt("a/face.png,model=plus,weight=0.6,start=0.1,end=0.8,encoder=vit_h").unwrap();
    let expected = ImagePrompt {
        weight: 0.6,
        start: 0.1,
        end: 0.8,
        encoder: Some("vit_h".to_owned()),
        ..ImagePrompt::new(PathBuf::from("a/face.png"), "plus")
    };
    assert_eq!(found, expected);
    let cases = [
        (",model=x", "expected an image"),
        ("a.png", "expected model=NAME"),
        ("a.png,model", "model: expected KEY=VALUE"),
        ("a.png,model=x,weight=much", "weight is \"much\", expected a number"),
        ("a.png,model=x,mode=prompt", "unknown key \"mode\", expected one of: model, encoder"),
    ];
    for (text, says) in cases {
        let error = parse_image_prompt(text).unwrap_err();
        assert!(error.starts_with(says), "{text}: {error}");
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let cases = [
        ("canny=,model=x", "expected an image"),
        ("canny=a.png", "expected model=NAME"),
        ("canny=a.png,model", "model: expected KEY=VALUE"),
        ("canny=a.png,model=x,weight=much", "weight is \"much\", expected a number"),
        ("canny=a.png,model=x,sigma=3", "sigma says nothing to canny"),
        ("canny=a.png,model=x,mode=loud", "mode: unknown variant `loud`"),
        ("canny=a.png,model=x,strength=3", "unknown key \"strength\", expected one of: model, weight"),
    ];
    for (text, says) in cases {
        let error = parse_control(text).unwrap_err();
        assert!(error.starts_with(says), "{text}: {error}");
    }
}
