//! Rules that change, decisions by hand, pictures that are gone.

use super::*;

/// Builds with one spec, then with another in the same folder.
fn edited(from: &str, to: &str) -> (BTreeMap<String, Vec<u8>>, u64, u64) {
    let folder = tempfile::tempdir().unwrap();
    run(from, folder.path());
    let (_, n_made, n_looked) = run(to, folder.path());
    (content(folder.path()), n_made, n_looked)
}

#[test]
fn building_again_makes_and_looks_at_nothing() {
    let folder = tempfile::tempdir().unwrap();
    run(SPEC, folder.path());
    let before = content(folder.path());
    let (summary, n_made, n_looked) = run(SPEC, folder.path());
    assert_eq!((n_made, n_looked, summary.n_made), (0, 0, 0));
    assert_same(folder.path(), &before);
}

#[test]
fn looser_rules_decide_again_without_making_or_looking() {
    // Without duplicates and given-up cells a looser filter needs no candidate that a stricter one did not.
    let strict = SPEC.replace("stop_below = 0.3\n", "");
    let strict = strict.split("[duplicates]").next().unwrap();
    let loose = strict.replace("min = 20", "min = 0");
    let (files, n_made, n_looked) = edited(strict, &loose);
    assert_eq!((n_made, n_looked), (0, 0));
    assert_eq!(essence(files), essence(uninterrupted(&loose)));
}

#[test]
fn stricter_rules_make_only_what_is_missing() {
    let strict = SPEC.replace("min = 20", "min = 35");
    let (files, n_made, n_looked) = edited(SPEC, &strict);
    assert!(n_made > 0);
    assert_eq!(n_made, n_looked);
    let whole = uninterrupted(&strict);
    let n_lines = |files: &BTreeMap<String, Vec<u8>>| {
        files["candidates.jsonl"].iter().filter(|&&byte| byte == b'\n').count() as u64
    };
    assert!(n_made < n_lines(&whole), "{n_made} of {}", n_lines(&whole));
    assert_eq!(essence(files), essence(whole));
}

#[test]
fn any_edit_there_and_back_ends_where_it_began() {
    let edits =
        [("min = 20", "min = 32"), ("tolerance = 3", "tolerance = 0"), ("per_slot = 6", "per_slot = 2")];
    for (from, to) in edits
        .into_iter()
        .chain([("cosine = 0.9999", "cosine = 0.2"), ("stop_below = 0.3", "stop_below = 0.6")])
    {
        let other = SPEC.replace(from, to);
        let folder = tempfile::tempdir().unwrap();
        run(SPEC, folder.path());
        run(&other, folder.path());
        assert_eq!(essence(content(folder.path())), essence(uninterrupted(&other)), "{to}");
        let (_, n_made, n_looked) = run(SPEC, folder.path());
        assert_eq!((n_made, n_looked), (0, 0), "{to}");
        assert_eq!(essence(content(folder.path())), essence(uninterrupted(SPEC)), "{to}");
        let spare =
            decided(folder.path()).unwrap().into_iter().filter(|line| line.decision == Decision::Spare);
        assert!(spare.into_iter().all(|line| line.file_name.unwrap().starts_with("rejected/")));
    }
}

#[test]
fn an_edit_that_is_killed_anywhere_ends_as_one_that_was_not() {
    let to = SPEC.replace("min = 20", "min = 33");
    let expected = edited(SPEC, &to).0;
    let spec = spec(&to);
    for fails_at in (1..).step_by(3) {
        let folder = tempfile::tempdir().unwrap();
        run(SPEC, folder.path());
        let mut disk = FailingDisk { n_operations: 0, fails_at };
        let (mut model, mut reader) = (Model::default(), Reader::default());
        let crew = Crew { generator: &mut model, measurer: &mut reader };
        let target = Target { spec: &spec, folder: folder.path(), options: BuildOptions::default() };
        let result = build_on(&mut disk, &target, crew, &mut Silent);
        run(&to, folder.path());
        assert_same(folder.path(), &expected);
        if result.is_ok() {
            break;
        }
    }
}

#[test]
fn rules_added_to_a_finished_dataset_take_its_pictures_as_first_attempts() {
    let plain = SPEC.split("[measure]").next().unwrap();
    let (files, n_made, n_looked) = edited(plain, SPEC);
    let whole = uninterrupted(SPEC);
    assert_eq!(n_looked, n_made + N_IMAGES);
    assert_eq!(files.keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>());
    assert!(files == whole);
}

#[test]
fn rules_cannot_be_taken_from_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    run(SPEC, folder.path());
    let plain = spec(SPEC.split("[measure]").next().unwrap());
    let (mut model, mut reader) = (Model::default(), Reader::default());
    let mut build_with = |force| {
        let crew = Crew { generator: &mut model, measurer: &mut reader };
        build(&plain, folder.path(), crew, BuildOptions { force, ..BuildOptions::default() }, &mut Silent)
    };
    let error = build_with(false).unwrap_err();
    assert!(error.to_string().ends_with("the rules of curation are gone"), "{error}");
    build_with(true).unwrap();
    assert_same(folder.path(), &uninterrupted(plain.text()));
}

fn first(lines: &[Decided], is_wanted: impl Fn(&&Decided) -> bool) -> &Decided {
    lines.iter().find(is_wanted).unwrap()
}

#[test]
fn what_is_dropped_by_hand_is_replaced_and_undone_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    run(SPEC, folder.path());
    let before = essence(content(folder.path()));
    let lines = decided(folder.path()).unwrap();
    let victim = first(&lines, |line| line.decision == Decision::Kept && line.cell == "man / young");
    let file = victim.file_name.clone().unwrap();
    let path = folder.path().join(&file);
    let because = "hand in front of the face".to_owned();
    review(folder.path(), path.to_str().unwrap(), &Ruling::Drop { because: because.clone() }).unwrap();
    run(SPEC, folder.path());
    let lines = decided(folder.path()).unwrap();
    let found = first(&lines, |line| line.candidate == victim.candidate);
    assert_eq!(found.decision, Decision::Dropped);
    assert_eq!(
        (found.reasons[0].rule.as_str(), found.reasons[0].says.as_str()),
        ("by hand", because.as_str())
    );
    let files = content(folder.path());
    assert!(files.get(&file).is_none_or(|bytes| tronie_base::sha256_hex(bytes) != victim.sha256));
    review(folder.path(), &victim.candidate, &Ruling::Undo).unwrap();
    let (_, n_made, n_looked) = run(SPEC, folder.path());
    assert_eq!((n_made, n_looked), (0, 0));
    assert_eq!(essence(content(folder.path())), before);
}

#[test]
fn what_is_kept_by_hand_fills_its_place_against_all_rules() {
    let folder = tempfile::tempdir().unwrap();
    run(SPEC, folder.path());
    let lines = decided(folder.path()).unwrap();
    // A later attempt of a cell that was given up, and one of a place that another attempt fills
    let hopeless = first(&lines, |line| line.cell == "woman / old" && line.candidate.ends_with("-1"));
    let filled = |line: &Decided| {
        lines
            .iter()
            .any(|other| other.decision == Decision::Kept && other.candidate[..6] == line.candidate[..6])
    };
    let beaten = first(&lines, |line| line.decision == Decision::Dropped && filled(line));
    for line in [hopeless, beaten] {
        review(folder.path(), &line.candidate, &Ruling::Keep).unwrap();
    }
    run(SPEC, folder.path());
    let files = content(folder.path());
    for line in [hopeless, beaten] {
        let slot = Candidate::parse(&line.candidate).unwrap().slot;
        let bytes = &files[&spec(SPEC).file_name(slot)];
        assert_eq!(tronie_base::sha256_hex(bytes), line.sha256);
    }
    let error = review(folder.path(), "000099-0", &Ruling::Keep).unwrap_err();
    assert!(error.to_string().ends_with("has no candidate \"000099-0\""), "{error}");
}

#[test]
fn deleted_pictures_keep_their_records_and_come_back_when_they_are_wanted() {
    let delete = SPEC.replace("per_slot = 6", "per_slot = 6\nrejected = \"delete\"");
    let folder = tempfile::tempdir().unwrap();
    run(&delete, folder.path());
    let files = content(folder.path());
    assert!(!files.keys().any(|name| name.starts_with("rejected/")));
    let lines = decided(folder.path()).unwrap();
    let dropped: Vec<_> = lines.iter().filter(|line| line.decision == Decision::Dropped).collect();
    assert!(
        !dropped.is_empty()
            && dropped.iter().all(|line| line.file_name.is_none() && !line.reasons.is_empty())
    );
    assert_eq!(essence(files), essence(uninterrupted(SPEC)));
    assert_eq!((run(&delete, folder.path()).1, run(&delete, folder.path()).2), (0, 0));

    let loose = delete.replace("min = 20", "min = 0");
    let (_, n_made, n_looked) = run(&loose, folder.path());
    assert!(n_made > 0);
    assert!(n_looked < n_made, "pictures that come back are known: {n_looked} of {n_made}");
    assert_eq!(essence(content(folder.path())), essence(uninterrupted(&loose)));

    // Keeping from now on brings the others back too
    run(&delete, folder.path());
    run(SPEC, folder.path());
    assert_eq!(essence(content(folder.path())), essence(uninterrupted(SPEC)));
}

#[test]
fn damaged_pictures_are_made_again_wherever_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    run(SPEC, folder.path());
    let expected = content(folder.path());
    let rejected = expected.keys().find(|name| name.starts_with("rejected/")).unwrap();
    let kept = expected.keys().find(|name| name.starts_with("images/")).unwrap();
    fs::write(folder.path().join(rejected), b"not this").unwrap();
    fs::remove_file(folder.path().join(kept)).unwrap();
    assert_eq!(run(SPEC, folder.path()).1, 2);
    assert_same(folder.path(), &expected);
}
