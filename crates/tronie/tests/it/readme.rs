//! Every command of the README, run as it is written there, with fewer steps and on the embedded model.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tronie_image::{ImageFormat, Pixels, encode};

use crate::support::Place;

/// Commands that need what a test does not have: (a part of them or their end, what it is).
const LEFT_OUT: &[(&str, &str)] = &[
    ("--control", "weights of a ControlNet"),
    ("tronie upscale", "weights of an upscaler"),
    ("--ip-adapter", "weights of an IP-Adapter"),
    ("--models-dir nets", "larger networks for faces"),
    ("train lora recipes/lora.toml\n", "a minute of training"),
    ("<lora:runs/", "its result"),
];

/// What stands for what people have: (as it is written, what is run).
const INSTEAD: &[(&str, &str)] = &[
    ("--model sd15.safetensors", "--model tronie-mini"),
    ("--model sdxl", "--model tronie-mini"),
    ("--refiner sdxl-refiner", "--refiner tronie-mini"),
    ("--models-dir ~/models", ""),
    ("--tile 512", "--tile 64"),
    ("--steps 20", "--steps 2"),
];

const PORTRAITS: &str = r#"
name = "portraits-mini"
version = 1
template = "a photo of a {sex}"
total = 8

[generation]
model = "tronie-mini"
steps = 12

[attributes.sex]
values = ["man", "woman"]

[quota]
by = ["sex"]
per_cell = 4
"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Lines of the fenced blocks that call the program, continued lines in one.
fn commands(page: &str) -> Vec<String> {
    let fenced = page.split("```").skip(1).step_by(2);
    let lines =
        fenced.flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>());
    lines.filter(|line| line.starts_with("tronie ")).collect()
}

/// Whether a command, without its comment, has this in it.
fn has(command: &str, part: &str) -> bool {
    format!("{}\n", without_comment(command)).contains(part)
}

fn without_comment(command: &str) -> &str {
    command.split(" #").next().unwrap_or_default().trim_end()
}

/// A command as it is run here.
fn small(command: &str) -> String {
    let mut command = without_comment(command).to_owned();
    for (written, run) in INSTEAD {
        command = command.replace(written, run);
    }
    let is_walk = ["tronie generate", "tronie edit"].iter().any(|start| command.starts_with(start));
    let has_steps = command.contains("--steps") || command.contains("--like");
    if is_walk && !has_steps { format!("{command} --steps 2") } else { command }
}

/// A place with the files that the commands name.
fn furnished() -> Place {
    let place = Place::new();
    fs::create_dir(place.path("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_tronie"), place.path("bin/tronie")).unwrap();
    fs::create_dir(place.path("recipes")).unwrap();
    fs::copy(root().join("recipes/lora.toml"), place.path("recipes/lora.toml")).unwrap();
    place.ok(&["generate", "a photo of a woman", "--steps", "2", "-o", "made"]);
    for name in ["face.png", "portrait.png", "picture.png"] {
        fs::copy(place.path("made/000000-0.png"), place.path(name)).unwrap();
    }
    // Faces that can be seen, and a small data set of the name of the README's.
    place.ok(&["generate", "a photo of a woman", "--steps", "20", "--seed", "1", "-n", "3", "-o", "photos"]);
    for (index, name) in ["a.png", "b.png", "c.png"].into_iter().enumerate() {
        fs::copy(place.path(&format!("photos/{index:06}-{}.png", index + 1)), place.path(name)).unwrap();
    }
    place.write("portraits.toml", PORTRAITS);
    place.ok(&["dataset", "build", "portraits.toml", "-o", "datasets/portraits-mini"]);
    for (name, rows) in [("hat.png", 0..20), ("eyes.png", 24..36)] {
        let grey = |index: u32| if rows.contains(&(index / 64)) { [255; 3] } else { [0; 3] };
        let mask = Pixels::new(64, 64, (0..64 * 64).flat_map(grey).collect()).unwrap();
        fs::write(place.path(name), encode(&mask, ImageFormat::Png, &[]).unwrap()).unwrap();
    }
    place
}

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    let place = furnished();
    let page = fs::read_to_string(root().join("README.md")).unwrap();
    let commands = commands(&page);
    assert!(commands.len() > 20, "{}", commands.len());
    for (part, what) in LEFT_OUT {
        assert!(commands.iter().any(|command| has(command, part)), "nothing needs {what} any more");
    }
    let is_run = |command: &&String| !LEFT_OUT.iter().any(|(part, _)| has(command, part));
    let mut failed = Vec::new();
    for command in commands.iter().filter(is_run).map(|command| small(command)) {
        let path = format!("{}:/usr/bin:/bin", place.path("bin").display());
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &command]).current_dir(place.path("")).env_clear();
        shell.env("PATH", path).env("HOME", place.path("")).env("HF_HUB_OFFLINE", "1");
        let output = shell.output().unwrap();
        if !output.status.success() {
            failed.push(format!("{command}\n{}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
