use tronie_faces::geometry::Rect;
use tronie_faces::{AgeGender, AgeGroup, Attributes, HairColor, NetworkFolders, with_defaults};

use super::*;

fn face(side: f32, age_years: f32) -> Face {
    let mut face = Face::new(Rect { left: 0.0, top: 0.0, right: side, bottom: side }, 0.5, None);
    face.age_gender = Some(AgeGender { age_years, male: 0.25 });
    face.expression = Some(Expression {
        neutral: 0.2,
        happy: 0.1,
        sad: 0.3,
        angry: 0.3,
        fearful: 0.0,
        disgusted: 0.0,
        surprised: 0.1,
    });
    face.attributes = Some(Attributes {
        age_group: AgeGroup::of(age_years),
        glasses: 0.75,
        smile: 0.5,
        hair: HairColor { dark: 0.1, blond: 0.1, red: 0.5, gray: 0.1, colored: 0.1, bald: 0.1 },
    });
    face
}

#[test]
fn every_measure_is_named_once_and_made_by_some_annotator() {
    for row in MEASURES {
        assert_eq!(MEASURES.iter().filter(|other| other.id == row.id).count(), 1, "{}", row.id);
        let made = tronie_faces::ANNOTATORS.iter().any(|annotator| annotator.makes.contains(&row.part));
        assert!(made, "{}", row.id);
    }
}

#[test]
fn measures_are_those_of_the_largest_face() {
    let seen = Seen { width_px: 100, height_px: 50, faces: vec![face(5.0, 70.0), face(10.0, 20.0)] };
    let found = measures(&seen, &with_defaults(&[], &NetworkFolders::default()).unwrap());
    assert_eq!(found["n_faces"], Measured::Number(2.0));
    assert_eq!(found["age_years"], Measured::Number(20.0));
    assert_eq!(found["face_share"], Measured::Number(0.02));
    assert_eq!(found["expression"], Measured::Name("sad".to_owned()), "the first of equal ones");
    assert_eq!(found["age_group"], Measured::Name("young".to_owned()));
    assert_eq!(found["hair"], Measured::Name("red".to_owned()));
    assert_eq!((&found["glasses"], &found["smile"]), (&Measured::Number(0.75), &Measured::Number(0.5)));
    assert!(!found.contains_key("sharpness"), "nobody has measured it");
}

#[test]
fn a_picture_without_a_face_has_only_its_number_of_faces() {
    let seen = Seen { width_px: 100, height_px: 50, faces: Vec::new() };
    let found = measures(&seen, &with_defaults(&[], &NetworkFolders::default()).unwrap());
    assert_eq!(found, Measures::from([("n_faces".to_owned(), Measured::Number(0.0))]));
    assert_eq!(measures(&seen, &[]), Measures::new(), "nobody has looked");
}

#[test]
fn a_measured_value_is_read_back_as_it_was_written() {
    for value in [Measured::Number(0.3), Measured::Number(1.0), Measured::Name("happy".to_owned())] {
        let text = serde_json::to_string(&value).unwrap();
        assert_eq!(serde_json::from_str::<Measured>(&text).unwrap(), value, "{text}");
    }
}
