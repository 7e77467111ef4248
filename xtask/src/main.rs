//! All automation of the project. `cargo xtask ci` is the whole gate, cheapest check first.

mod budgets;
mod docs;
mod goldens;
mod layers;
mod licences;
mod pack;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

const USAGE: &str = "\
usage: cargo xtask <task>
  ci         everything below up to `check-features`, in this order
  fmt        formatting
  layers     crate dependencies point down only
  goldens    every golden has its manifest row, size and hash
  budgets    lines per file
  licences   no copyleft dependency
  clippy     lints are errors
  test       all tests (cargo-nextest when installed, cargo test otherwise)
  doc        documentation builds without warnings
  features   the program builds without default features
  docs       writes the pages of docs/ that are generated from the code; `test` fails when they are stale
  pack-mini <diffusers folder>   packs the embedded model's archive
  manifest <file> <note>         adds a manifest row for a golden of our own making";

/// One check: its name and what it does.
type Task = (&'static str, fn() -> Result<()>);

const CI: [Task; 9] = [
    ("fmt", || cargo(&["fmt", "--all", "--check"])),
    ("layers", layers::check),
    ("goldens", goldens::check),
    ("budgets", budgets::check),
    ("licences", licences::check),
    ("clippy", || cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])),
    ("test", test),
    ("doc", doc),
    ("features", || cargo(&["check", "--package", "tronie", "--no-default-features"])),
];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    std::env::set_current_dir(root())?;
    match args.as_slice() {
        ["ci"] => CI.into_iter().try_for_each(run),
        ["docs"] => docs::write(),
        ["pack-mini", folder] => pack::pack_mini(Path::new(folder)),
        ["manifest", file, note] => goldens::record(Path::new(file), note),
        [name] => match CI.into_iter().find(|task| task.0 == *name) {
            Some(task) => run(task),
            None => bail!("unknown task \"{name}\"\n{USAGE}"),
        },
        _ => bail!("{USAGE}"),
    }
}

fn run((name, task): Task) -> Result<()> {
    println!("== {name}");
    let start = Instant::now();
    task().with_context(|| format!("cargo xtask {name}"))?;
    println!("== {name}: ok, {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn cargo(args: &[&str]) -> Result<()> {
    let status = Command::new(env!("CARGO")).args(args).status()?;
    ensure!(status.success(), "cargo {} failed", args.join(" "));
    Ok(())
}

fn test() -> Result<()> {
    let has_nextest = Command::new(env!("CARGO")).args(["nextest", "--version"]).output()?.status.success();
    if has_nextest {
        cargo(&["nextest", "run", "--workspace"])
    } else {
        cargo(&["test", "--workspace", "--all-targets"])
    }
}

fn doc() -> Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["doc", "--workspace", "--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "--deny warnings")
        .status()?;
    ensure!(status.success(), "cargo doc failed");
    Ok(())
}

/// Files git knows or would add, so that build outputs are never looked at.
fn tracked_files(pattern: &str) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "--", pattern])
        .output()
        .context("git ls-files")?;
    ensure!(output.status.success(), "git ls-files failed");
    let list = String::from_utf8(output.stdout)?;
    Ok(list.lines().map(PathBuf::from).filter(|path| path.is_file()).collect())
}
