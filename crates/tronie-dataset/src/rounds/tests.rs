use super::*;
use crate::annotations::Look;
use crate::fingerprint::Fingerprint;
use crate::measures::Measured;

const SPEC: &str = r#"
name = "tiny"
version = 1
template = "a {sex}"
[attributes.sex]
values = ["man", "woman"]
[quota]
by = ["sex"]
per_cell = 3
[measure]
[[filters]]
measure = "sharpness"
min = 1
[attempts]
per_slot = 3
"#;

fn look(sharpness: f32, hash: u64) -> Looked {
    let fingerprint = Fingerprint { pixels_sha256: hash.to_string(), hash };
    let measures = [("sharpness".to_owned(), Measured::Number(sharpness))].into();
    Looked::Seen(Box::new(Look { fingerprint, measures, embedding: None }))
}

fn at(slot: u64, attempt: u32) -> Candidate {
    Candidate { slot, attempt }
}

/// What follows from some looks, for a build of some places.
fn decided(text: &str, looks: &[(Candidate, Looked)], range: Range<u64>) -> Decisions {
    let spec = Spec::parse(text).unwrap();
    let curation = spec.curation().unwrap();
    let looked = looks.iter().map(|(candidate, looked)| (*candidate, looked)).collect();
    decide(&Known { spec: &spec, curation, hands: &Hands::default(), looked, range })
}

#[test]
fn a_build_begins_with_every_first_attempt_and_goes_on_where_one_failed() {
    let nothing = decided(SPEC, &[], 0..6);
    assert_eq!(nothing.needed, (0..6).map(|slot| at(slot, 0)).collect::<Vec<_>>());
    assert_eq!(nothing.n_waiting, 6);
    let looks: Vec<_> =
        (0..6_u64).map(|slot| (at(slot, 0), look(if slot == 4 { 0.0 } else { 9.0 }, slot))).collect();
    let one_failed = decided(SPEC, &looks, 0..6);
    assert_eq!((one_failed.needed.clone(), one_failed.n_waiting), (vec![at(4, 1)], 1));
    assert_eq!(one_failed.kept().count(), 5);
}

#[test]
fn a_failed_candidate_asks_for_the_next_even_while_others_are_waited_for() {
    let decisions = decided(SPEC, &[(at(2, 0), look(0.0, 2))], 2..4);
    assert_eq!(decisions.needed, [at(3, 0), at(2, 1)], "only places of the shard");
    assert_eq!(decisions.n_waiting, 6);
}

#[test]
fn attempts_come_to_an_end() {
    let looks: Vec<_> =
        (0..6).flat_map(|slot| (0..3).map(move |attempt| (at(slot, attempt), look(0.0, slot)))).collect();
    let decisions = decided(SPEC, &looks, 0..6);
    assert_eq!((decisions.needed.len(), decisions.n_waiting, decisions.kept().count()), (0, 0, 0));
    assert_eq!(decisions.cells, [CellTally { n_made: 9, n_kept: 0 }; 2]);
}

#[test]
fn what_could_be_a_duplicate_of_something_unknown_is_not_decided() {
    let text = format!("{SPEC}[duplicates]\nhash_bits = 0\n");
    // Place 0 is not there yet: place 1 passes the filter, but might repeat it; place 2 fails whatever place 0 is.
    let looks = [(at(1, 0), look(9.0, 7)), (at(2, 0), look(0.0, 8))];
    let decisions = decided(&text, &looks, 1..3);
    assert_eq!(decisions.needed, [at(2, 1)]);
    assert_eq!(decisions.kept().count(), 0);
    let all: Vec<_> = (0..6).map(|slot| (at(slot, 0), look(9.0, 7 + slot / 2))).collect();
    let decisions = decided(&text, &all, 0..6);
    assert_eq!(decisions.kept().map(|candidate| candidate.slot).collect::<Vec<_>>(), [0, 2, 4]);
    assert_eq!(decisions.needed, [at(1, 1), at(3, 1), at(5, 1)]);
}

#[test]
fn a_cell_that_could_be_given_up_waits_for_its_whole_round() {
    let text = SPEC.replace("per_slot = 3", "per_slot = 3\nstop_below = 0.6");
    let cells = |slot: u64| Spec::parse(&text).unwrap().cell_number_of(slot).unwrap();
    let men: Vec<u64> = (0..6).filter(|&slot| cells(slot) == 0).collect();
    let failed = |slots: &[u64]| slots.iter().map(|&slot| (at(slot, 0), look(0.0, slot))).collect::<Vec<_>>();
    let part = decided(&text, &failed(&men[..2]), 0..6);
    assert!(part.needed.iter().all(|candidate| candidate.attempt == 0), "{:?}", part.needed);
    // 0 of 3 leaves at most 56 %
    let whole = decided(&text, &failed(&men), 0..6);
    assert!(whole.needed.iter().all(|candidate| cells(candidate.slot) == 1), "{:?}", whole.needed);
}
