use super::*;
use crate::judge::Reason;
use crate::measures::Measured;

const SPEC: &str = r#"
name = "tiny"
version = 1
template = "a {age} {sex}"
[attributes.sex]
values = ["man", "woman"]
[attributes.age]
values = ["young", "old"]
[quota]
by = ["sex", "age"]
per_cell = 1
[measure]
[verify.sex]
measure = "male"
values = { man = [0.5, 1.01], woman = [0, 0.5] }
[verify.age]
measure = "age_years"
values = { young = [0, 40], old = [40, 80] }
[attempts]
per_slot = 2
"#;

/// A line about a candidate that measures as it says; `None` is a picture without a face.
fn line(
    spec: &Spec,
    (slot, attempt): (u64, u32),
    measured: Option<(f32, f32)>,
    decision: Decision,
) -> Decided {
    let candidate = Candidate { slot, attempt };
    let item = spec.candidate(candidate).unwrap();
    let mut measures = crate::Measures::new();
    if let Some((male, age)) = measured {
        measures.insert("male".to_owned(), Measured::Number(male));
        measures.insert("age_years".to_owned(), Measured::Number(age));
    }
    let reason = Reason { rule: "verify sex".to_owned(), says: String::new() };
    Decided {
        candidate: candidate.name(spec),
        file_name: None,
        cell: item.cell,
        text: item.prompt,
        seed: item.seed,
        attributes: item.attributes,
        measures,
        decision,
        reasons: if decision == Decision::Dropped { vec![reason] } else { Vec::new() },
        n_bytes: 0,
        sha256: String::new(),
    }
}

fn slot(spec: &Spec, cell: &str) -> u64 {
    (0..4).find(|&index| spec.item(index).unwrap().cell == cell).unwrap()
}

#[test]
fn the_report_of_a_handful_of_candidates_is_what_one_counts_by_hand() {
    use Decision::{Dropped, Kept, Spare};
    let spec = Spec::parse(SPEC).unwrap();
    let of = |cell: &str, attempt, measured, decision| {
        line(&spec, (slot(&spec, cell), attempt), measured, decision)
    };
    let lines = [
        of("man / young", 0, Some((0.9, 20.0)), Kept),
        of("man / young", 1, Some((0.1, 20.0)), Spare),
        of("man / old", 0, Some((0.9, 20.0)), Dropped),
        of("man / old", 1, Some((0.9, 60.0)), Kept),
        of("woman / young", 0, Some((0.8, 95.0)), Dropped),
        of("woman / young", 1, None, Dropped),
        of("woman / old", 0, Some((0.2, 60.0)), Dropped),
    ];
    let audit = audit(&spec, spec.curation().unwrap(), &lines);
    assert_eq!((audit.n_candidates, audit.n_kept), (6, 2), "spare candidates do not count");
    let cells: Vec<_> = audit.cells.iter().map(|cell| (cell.n_made, cell.n_kept, cell.stop)).collect();
    let expected = [(1, 1, Stop::Full), (2, 1, Stop::Full), (2, 0, Stop::Attempts), (1, 0, Stop::Hopeless)];
    assert_eq!(cells, expected);
    assert_eq!(audit.reasons, BTreeMap::from([("verify sex".to_owned(), 4)]));

    let age = audit.attributes.iter().find(|row| row.attribute == "age").unwrap();
    assert_eq!(age.columns, ["young", "old", "other", "not measured"]);
    let rows: Vec<_> = age.rows.iter().map(|row| (row.asked.as_str(), row.n, row.found.clone())).collect();
    assert_eq!(rows, [("young", 3, vec![1, 0, 1, 1]), ("old", 3, vec![1, 2, 0, 0])]);
    assert_eq!(age.rows[0].right, wilson(1, 3));

    // First attempts are (man, young) twice, (man, other) and (woman, old); kept are (man, young) and (man, old).
    let joint = audit.joint.unwrap();
    assert_eq!((joint.n_asked, joint.n_first_attempts, joint.n_kept), (4, 4, 2));
    let count = |values: [&str; 2]| {
        let row = joint.rows.iter().find(|row| row.values == values).unwrap();
        (row.n_asked, row.n_first_attempts, row.n_kept)
    };
    assert_eq!(joint.attributes, ["age", "sex"]);
    assert_eq!(count(["young", "man"]), (1, 2, 1));
    assert_eq!(count(["old", "woman"]), (1, 1, 0));
    assert_eq!(count(["other", "man"]), (0, 1, 0));
    assert_eq!(joint.dependence.asked, Some(0.0), "the grid is a product");
    // Kept pictures are men only: H(man) = 0 leaves nothing to depend on.
    assert_eq!(joint.dependence.kept, Some(0.0));
    let sex = audit.attributes.iter().find(|row| row.attribute == "sex").unwrap();
    // (1/2, 1/2) against (1, 0): H(3/4, 1/4) - 1/2
    assert!((sex.divergence.kept.unwrap() - 0.311_278_124_459_132_8).abs() < 1e-12);
    let pair = &audit.pairs[0];
    assert_eq!((pair.cramers_v.asked, pair.cramers_v.kept), (Some(0.0), None));
    assert!((pair.cramers_v.first_attempts.unwrap() - 1.0).abs() < 1e-12, "only the woman is old");
}
