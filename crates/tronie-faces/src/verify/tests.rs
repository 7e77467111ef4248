use super::*;
use crate::geometry::Rect;

fn face(side: f32, values: &[f32]) -> Face {
    let mut face = Face::new(Rect::from([0.0, 0.0, side, side]), 0.9, None);
    face.embedding = Some(Embedding { network: "arcface".to_owned(), values: values.to_vec() });
    face
}

const COSINE: Threshold = Threshold { metric: Metric::Cosine, own: None };

#[test]
fn metrics_of_perpendicular_vectors_are_what_they_say() {
    let (a, b) = ([1.0, 0.0], [0.0, 1.0]);
    assert_eq!(Metric::Cosine.distance(&a, &b), 1.0);
    assert!((Metric::EuclideanL2.distance(&a, &b) - 2_f32.sqrt()).abs() < 1e-6);
    assert!((Metric::Angular.distance(&a, &b) - 0.5).abs() < 1e-6);
    for (_, metric) in Metric::ALL {
        assert_eq!(metric.distance(&a, &a), 0.0);
    }
}

#[test]
fn the_largest_faces_decide() {
    let alike = face(50.0, &[1.0, 0.0]);
    let other = face(80.0, &[0.0, 1.0]);
    let both = [alike.clone(), other];
    let found = verify("arcface", [std::slice::from_ref(&alike), &both], COSINE).unwrap();
    assert_eq!((found.verdict, found.distance, found.n_faces), (Verdict::Different, Some(1.0), [1, 2]));
    let found = verify("arcface", [std::slice::from_ref(&alike); 2], COSINE).unwrap();
    assert_eq!((found.verdict, found.threshold), (Verdict::Same, 0.55));
}

#[test]
fn no_face_is_an_answer_of_its_own() {
    let found = verify("arcface", [&[], &[face(9.0, &[1.0])]], COSINE).unwrap();
    assert_eq!((found.verdict, found.distance), (Verdict::NoFace, None));
}

#[test]
fn a_threshold_of_ones_own_goes_before_the_published_one() {
    let faces = [face(9.0, &[1.0, 0.0]), face(9.0, &[0.8, 0.6])];
    let own = Threshold { metric: Metric::Cosine, own: Some(0.1) };
    let found = verify("arcface", [&faces[..1], &faces[1..]], own).unwrap();
    assert_eq!((found.verdict, found.threshold_origin.as_str()), (Verdict::Different, "given"));
    assert!(verify("nobody", [&faces, &faces], COSINE).is_err());
    assert!(verify("nobody", [&faces, &faces], own).is_ok());
}
