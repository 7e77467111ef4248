//! What a finished folder holds, and which folders are refused.

use tronie_base::FolderLock;

use super::*;

#[test]
fn a_finished_folder_describes_itself() {
    let folder = tempfile::tempdir().unwrap();
    let summary = run(folder.path(), BuildOptions::default()).unwrap();
    assert_eq!(summary, Summary { n_images: N_IMAGES, n_made: N_IMAGES, n_kept: 0, n_missing: 0, n_open: 0 });
    let files = content(folder.path());
    let text = |name: &str| String::from_utf8(files[name].clone()).unwrap();
    let others: Vec<_> =
        files.keys().filter(|name| !name.starts_with("images/")).map(String::as_str).collect();
    assert_eq!(
        others,
        [
            ".lock",
            "contact_sheet.png",
            "dataset.json",
            "manifest.sha256",
            "metadata.jsonl",
            "spec.toml",
            "summary.json",
            "summary.md"
        ]
    );
    assert_eq!(files[".lock"], b"");
    assert_eq!(files["spec.toml"], SPEC.as_bytes());
    // The manifest is what sha256sum would print for the sorted names
    let names = files.keys().filter(|name| ![".lock", "manifest.sha256"].contains(&name.as_str()));
    let expected: String =
        names.map(|name| format!("{}  {name}\n", tronie_base::sha256_hex(&files[name]))).collect();
    assert_eq!(text("manifest.sha256"), expected);
    assert!(text("summary.md").contains("| man | 7 | 50.0 % |"), "{}", text("summary.md"));
    assert!(status(folder.path()).unwrap().is_complete);
}

#[test]
fn metadata_has_one_line_per_image_with_the_file_name_first() {
    let text = String::from_utf8(uninterrupted()["metadata.jsonl"].clone()).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 14);
    for (index, line) in (0..).zip(&lines) {
        let item = spec().item(index).unwrap();
        assert_eq!(line["file_name"], item.file_name);
        assert_eq!(line["text"], item.prompt);
        assert_eq!(line["seed"], item.seed);
        assert_eq!(line["numbers"]["age"].as_u64(), item.numbers.get("age").map(|&n| u64::from(n)));
    }
    assert!(text.starts_with("{\"file_name\":\"images/000000.png\","));
}

#[test]
fn a_folder_of_another_spec_or_model_is_refused_unless_forced() {
    let expected = uninterrupted();
    let folder = tempfile::tempdir().unwrap();
    let other =
        Spec::parse(&SPEC.replace("per_cell = 7", "per_cell = 9").replace("[60, 80]", "[60, 90]")).unwrap();
    build(&other, folder.path(), &mut Fake::new(), BuildOptions::default(), &mut Silent).unwrap();
    let error = run(folder.path(), BuildOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} was begun from another spec: attributes.age.values[1].number[1]: 90 became 80; quota.per_cell: 9 became 7",
            folder.path().display()
        )
    );
    let force = BuildOptions { force: true, ..BuildOptions::default() };
    run(folder.path(), force).unwrap();
    assert_same(folder.path(), &expected);

    let mut newer = Fake { hash: "def", ..Fake::new() };
    let error = build(&spec(), folder.path(), &mut newer, BuildOptions::default(), &mut Silent).unwrap_err();
    assert!(
        error.to_string().ends_with("was begun with the model fake (abc), now it is fake (def)"),
        "{error}"
    );
    // Forcing what is this spec's own keeps what is there
    assert_eq!(run(folder.path(), force).unwrap().n_kept, N_IMAGES);
}

#[test]
fn a_folder_with_other_files_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.doc"), b"important").unwrap();
    for force in [false, true] {
        let error = run(folder.path(), BuildOptions { force, ..BuildOptions::default() }).unwrap_err();
        assert!(error.to_string().ends_with("holds files but no dataset, for example thesis.doc"), "{error}");
    }
    let expected = BTreeMap::from([("thesis.doc".to_owned(), b"important".to_vec())]);
    assert_same(folder.path(), &expected);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = run(&file.join("data"), BuildOptions::default()).unwrap_err();
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
    assert_eq!(error.fault(), Fault::Environment);
}

#[test]
fn a_second_builder_is_told_who_holds_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let lock = FolderLock::take(folder.path()).unwrap();
    let error = run(folder.path(), BuildOptions::default()).unwrap_err();
    assert!(error.to_string().ends_with(&format!("is in use by process {}", std::process::id())), "{error}");
    assert_eq!(error.fault(), Fault::Busy);
    drop(lock);
    run(folder.path(), BuildOptions::default()).unwrap();
}

#[test]
fn what_the_generator_returns_is_checked() {
    struct Wrong(Vec<GeneratedImage>);
    impl Generator for Wrong {
        fn batch_size(&self) -> usize {
            2
        }
        fn model_id(&self) -> &str {
            "wrong"
        }
        fn model_hash(&self) -> &str {
            ""
        }
        fn generate(
            &mut self,
            _: &[Item],
            _: &mut dyn Progress,
        ) -> Result<Vec<GeneratedImage>, crate::BoxedFaulty> {
            Ok(self.0.clone())
        }
    }
    let file = |extension: &str| GeneratedImage { bytes: vec![1], extension: extension.to_owned() };
    let cases = [
        (vec![file("png")], "images 0 to 1: the generator returned 1 files, expected 2 of type \"png\""),
        (
            vec![file("png"), file("jpg")],
            "images 0 to 1: the generator returned a file of type \"jpg\", expected 2 of type \"png\"",
        ),
    ];
    for (images, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let error = build(&spec(), folder.path(), &mut Wrong(images), BuildOptions::default(), &mut Silent)
            .unwrap_err();
        assert_eq!((error.to_string().as_str(), error.fault()), (expected, Fault::Bug));
    }
}

#[test]
fn shards_divide_every_dataset() {
    for n_images in [1, 7, 1000] {
        for n_shards in [1, 3, 8] {
            let ranges = (1..=n_shards).map(|number| Shard::new(number, n_shards).unwrap().range(n_images));
            let indices: Vec<_> = ranges.flatten().collect();
            assert_eq!(indices, (0..n_images).collect::<Vec<_>>());
        }
    }
    assert_eq!("2/8".parse::<Shard>().unwrap(), Shard::new(2, 8).unwrap());
    for wrong in ["0/3", "4/3", "3", "a/b", "1/0", ""] {
        let error = wrong.parse::<Shard>().unwrap_err();
        assert_eq!(error.to_string(), format!("shard \"{wrong}\", expected i/n with 1 <= i <= n"));
    }
}

#[test]
fn a_header_that_is_not_ours_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("dataset.json"), b"{}").unwrap();
    let error = run(folder.path(), BuildOptions::default()).unwrap_err();
    assert!(
        error.to_string().contains("dataset.json: not a record of this program: missing field"),
        "{error}"
    );
    let error = status(&folder.path().join("none")).unwrap_err();
    assert!(error.to_string().contains("dataset.json: "), "{error}");
}
