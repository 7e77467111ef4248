use std::collections::BTreeMap;
use std::fs;

use tronie_base::{Cancelled, Fault, Faulty, Silent};
use tronie_image::{ImageFormat, Pixels, encode};

use super::*;
use crate::generator::GeneratedImage;
use crate::status;
use crate::testing::{FailingDisk, NoMeasurer, assert_same, content};

mod folders;

const SPEC: &str = r#"
name = "tiny"
version = 1
template = "a {age} {sex}"
[attributes.sex]
values = ["man", "woman"]
[attributes.age]
values = ["young", { id = "old", number = [60, 80] }]
[quota]
by = ["sex"]
per_cell = 7
"#;
const N_IMAGES: u64 = 14;

fn spec() -> Spec {
    Spec::parse(SPEC).unwrap()
}

/// What stands in for a model: a small picture of the item's seed.
struct Fake {
    batch_size: usize,
    hash: &'static str,
    /// Fails instead of making this item.
    fails_at: Option<u64>,
    /// Panics instead of making this item.
    panics_at: Option<u64>,
    n_made: u64,
}

impl Fake {
    fn new() -> Self {
        Self { batch_size: 3, hash: "abc", fails_at: None, panics_at: None, n_made: 0 }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("out of memory on purpose")]
struct OutOfMemory;

impl Faulty for OutOfMemory {
    fn fault(&self) -> Fault {
        Fault::Environment
    }
}

impl Generator for Fake {
    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn model_id(&self) -> &str {
        "fake"
    }

    fn model_hash(&self) -> &str {
        self.hash
    }

    fn generate(
        &mut self,
        items: &[Item],
        _progress: &mut dyn Progress,
    ) -> Result<Vec<GeneratedImage>, crate::BoxedFaulty> {
        let mut images = Vec::new();
        for item in items {
            assert_ne!(self.panics_at, Some(item.index), "on purpose");
            if self.fails_at == Some(item.index) {
                return Err(Box::new(OutOfMemory));
            }
            let rgb =
                (0..8 * 8 * 3).map(|i| item.seed.to_le_bytes()[i % 4].wrapping_add(u8::try_from(i).unwrap()));
            let pixels = Pixels::new(8, 8, rgb.collect()).unwrap();
            let bytes = encode(&pixels, ImageFormat::Png, &[]).unwrap();
            images.push(GeneratedImage { bytes, extension: "png".to_owned() });
            self.n_made += 1;
        }
        Ok(images)
    }
}

/// These specs have no rules, so nobody looks at pictures.
fn build(
    spec: &Spec,
    folder: &Path,
    generator: &mut dyn Generator,
    options: BuildOptions,
    progress: &mut dyn Progress,
) -> Result<Summary, BuildError> {
    super::build(spec, folder, Crew { generator, measurer: &mut NoMeasurer }, options, progress)
}

fn build_on(
    disk: &mut dyn Disk,
    target: &Target<'_>,
    generator: &mut dyn Generator,
    progress: &mut dyn Progress,
) -> Result<Summary, BuildError> {
    super::build_on(disk, target, Crew { generator, measurer: &mut NoMeasurer }, progress)
}

fn run(folder: &Path, options: BuildOptions) -> Result<Summary, BuildError> {
    build(&spec(), folder, &mut Fake::new(), options, &mut Silent)
}

fn uninterrupted() -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), BuildOptions::default()).unwrap();
    content(folder.path())
}

#[test]
fn building_again_makes_nothing_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), BuildOptions::default()).unwrap();
    let before = content(folder.path());
    let mut generator = Fake::new();
    let summary =
        build(&spec(), folder.path(), &mut generator, BuildOptions::default(), &mut Silent).unwrap();
    assert_eq!((summary.n_kept, generator.n_made), (N_IMAGES, 0));
    assert_same(folder.path(), &before);
}

#[test]
fn a_disk_that_fails_at_any_operation_changes_nothing_in_the_end() {
    let expected = uninterrupted();
    let spec = spec();
    let mut n_failures = 0;
    for fails_at in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = FailingDisk { n_operations: 0, fails_at };
        let target = Target { spec: &spec, folder: folder.path(), options: BuildOptions::default() };
        let result = build_on(&mut disk, &target, &mut Fake::new(), &mut Silent);
        if result.is_ok() {
            break;
        }
        n_failures += 1;
        // The second run fails as well, somewhere else; the third is left alone.
        let mut disk = FailingDisk { n_operations: 0, fails_at: 1 + fails_at % 17 };
        let _ = build_on(&mut disk, &target, &mut Fake::new(), &mut Silent);
        run(folder.path(), BuildOptions::default()).unwrap();
        assert_same(folder.path(), &expected);
    }
    // Two for each image, and those before and after
    assert!(n_failures >= 2 * N_IMAGES + 8, "{n_failures}");
}

#[test]
fn a_generator_that_fails_or_panics_anywhere_changes_nothing_in_the_end() {
    let expected = uninterrupted();
    for index in 0..N_IMAGES {
        let folder = tempfile::tempdir().unwrap();
        let mut failing = Fake { fails_at: Some(index), ..Fake::new() };
        let error =
            build(&spec(), folder.path(), &mut failing, BuildOptions::default(), &mut Silent).unwrap_err();
        let first = index / 3 * 3;
        let last = (first + 2).min(N_IMAGES - 1);
        assert_eq!(error.to_string(), format!("images {first} to {last}: out of memory on purpose"));
        assert_eq!(error.fault(), Fault::Environment);
        assert_eq!(status(folder.path()).unwrap().n_done, first);

        let mut panicking = Fake { panics_at: Some(index), batch_size: 1, ..Fake::new() };
        let run_it = std::panic::AssertUnwindSafe(|| {
            build(&spec(), folder.path(), &mut panicking, BuildOptions::default(), &mut Silent)
        });
        assert!(std::panic::catch_unwind(run_it).is_err());
        run(folder.path(), BuildOptions::default()).unwrap();
        assert_same(folder.path(), &expected);
    }
}

#[test]
fn batches_and_shards_do_not_show_in_the_result() {
    let expected = uninterrupted();
    for n_shards in [2, 3, 7, 20] {
        let folder = tempfile::tempdir().unwrap();
        let mut n_made = 0;
        for number in (1..=n_shards).rev() {
            let options = BuildOptions { shard: Shard::new(number, n_shards).unwrap(), force: false };
            let mut generator = Fake { batch_size: 1 + usize::try_from(number).unwrap(), ..Fake::new() };
            let summary = build(&spec(), folder.path(), &mut generator, options, &mut Silent).unwrap();
            n_made += summary.n_made;
            assert_eq!(summary.n_missing, N_IMAGES - n_made);
            assert_eq!(summary.is_complete(), n_made == N_IMAGES);
        }
        assert_eq!(n_made, N_IMAGES);
        assert_same(folder.path(), &expected);
    }
}

#[test]
fn shards_made_elsewhere_are_merged_by_copying() {
    let expected = uninterrupted();
    let merged = tempfile::tempdir().unwrap();
    for number in 1..=3 {
        let folder = tempfile::tempdir().unwrap();
        let options = BuildOptions { shard: Shard::new(number, 3).unwrap(), force: false };
        run(folder.path(), options).unwrap();
        for (name, bytes) in content(folder.path()) {
            let path = merged.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    let mut generator = Fake::new();
    build(&spec(), merged.path(), &mut generator, BuildOptions::default(), &mut Silent).unwrap();
    assert_eq!(generator.n_made, 0);
    assert_same(merged.path(), &expected);
}

#[test]
fn damaged_and_deleted_images_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), BuildOptions::default()).unwrap();
    let expected = content(folder.path());
    fs::write(folder.path().join("images/000003.png"), b"not this").unwrap();
    fs::remove_file(folder.path().join("images/000007.png")).unwrap();
    let summary = run(folder.path(), BuildOptions::default()).unwrap();
    assert_eq!((summary.n_made, summary.n_kept), (2, N_IMAGES - 2));
    assert_same(folder.path(), &expected);
}

#[test]
fn a_killed_start_over_is_finished_by_the_next() {
    let expected = uninterrupted();
    let other = Spec::parse(&SPEC.replace("per_cell = 7", "per_cell = 9")).unwrap();
    let spec = spec();
    let options = BuildOptions { force: true, ..BuildOptions::default() };
    for fails_at in (1..40).step_by(3) {
        let folder = tempfile::tempdir().unwrap();
        build(&other, folder.path(), &mut Fake::new(), BuildOptions::default(), &mut Silent).unwrap();
        let target = Target { spec: &spec, folder: folder.path(), options };
        let _ =
            build_on(&mut FailingDisk { n_operations: 0, fails_at }, &target, &mut Fake::new(), &mut Silent);
        run(folder.path(), options).unwrap();
        assert_same(folder.path(), &expected);
    }
}

/// Says stop after a number of images.
struct StopAfter(u64);

impl Progress for StopAfter {
    fn begin(&mut self, _stage: &str, _total: u64) {}
    fn advance(&mut self, n: u64) {
        self.0 = self.0.saturating_sub(n);
    }
    fn note(&mut self, _message: &str) {}
    fn check(&self) -> Result<(), Cancelled> {
        if self.0 == 0 { Err(Cancelled) } else { Ok(()) }
    }
}

#[test]
fn cancelling_stops_after_the_current_image_and_loses_none() {
    let expected = uninterrupted();
    let folder = tempfile::tempdir().unwrap();
    let error = build(&spec(), folder.path(), &mut Fake::new(), BuildOptions::default(), &mut StopAfter(4))
        .unwrap_err();
    assert_eq!(error.fault(), Fault::Interrupted);
    let status = status(folder.path()).unwrap();
    assert_eq!((status.n_done, status.is_complete), (4, false));
    run(folder.path(), BuildOptions::default()).unwrap();
    assert_same(folder.path(), &expected);
}

/// Where the process of the next test is told to work, and at which item to die.
const CHILD: &str = "TRONIE_TEST_ABORT";

#[test]
#[ignore = "run by a_process_that_dies_is_continued"]
fn child_that_dies() {
    struct Dying(Fake, u64);
    impl Generator for Dying {
        fn batch_size(&self) -> usize {
            1
        }
        fn model_id(&self) -> &str {
            self.0.model_id()
        }
        fn model_hash(&self) -> &str {
            self.0.model_hash()
        }
        fn generate(
            &mut self,
            items: &[Item],
            progress: &mut dyn Progress,
        ) -> Result<Vec<GeneratedImage>, crate::BoxedFaulty> {
            if items[0].index == self.1 {
                std::process::abort();
            }
            self.0.generate(items, progress)
        }
    }
    let Ok(orders) = std::env::var(CHILD) else { return };
    let (index, folder) = orders.split_once(' ').unwrap();
    let mut generator = Dying(Fake::new(), index.parse().unwrap());
    let _ = build(&spec(), Path::new(folder), &mut generator, BuildOptions::default(), &mut Silent);
}

#[test]
fn a_process_that_dies_is_continued() {
    let expected = uninterrupted();
    let folder = tempfile::tempdir().unwrap();
    for index in [0, 1, 6, 13] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["build::tests::child_that_dies", "--exact", "--ignored"]);
        child.env(CHILD, format!("{index} {}", folder.path().display()));
        assert!(!child.output().unwrap().status.success());
        assert_eq!(status(folder.path()).unwrap().n_done, index);
    }
    run(folder.path(), BuildOptions::default()).unwrap();
    assert_same(folder.path(), &expected);
}
