use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tronie_weights::{SafetensorsFile, TensorFile as _, write_safetensors};

use crate::support::{Place, contents};

/// A command line, the exit code it must have, and what its error must say.
struct Case {
    args: &'static [&'static str],
    code: i32,
    says: &'static [&'static str],
}

#[test]
fn bad_input_is_named_with_what_was_found_and_expected() {
    let cases = [
        Case {
            args: &["generate", "x", "--size", "60x64"],
            code: 2,
            says: &["width is 60", "a multiple of 8"],
        },
        Case { args: &["generate", "x", "--steps", "0"], code: 2, says: &["steps is 0", "1 to 1000"] },
        Case { args: &["generate", "x", "--cfg", "NaN"], code: 2, says: &["cfg is NaN"] },
        Case { args: &["generate", "x", "-n", "0"], code: 2, says: &["n is 0"] },
        Case { args: &["generate", "x", "--sampler", "dpmpp_2n"], code: 2, says: &["dpmpp_2n", "dpmpp_2m"] },
        Case { args: &["generate", "x", "--profile", "forge"], code: 2, says: &["forge", "a1111"] },
        Case {
            args: &["generate", "x", "--model", "nothing-here"],
            code: 3,
            says: &["nothing-here", "hint:"],
        },
        Case {
            args: &["generate", "x", "--device", "cuda:0"],
            code: 3,
            says: &["cuda:0", "--features cuda"],
        },
        Case { args: &["generate", "x", "--device", "tpu"], code: 2, says: &["tpu", "cpu"] },
        Case { args: &["generate", "--like", "absent.png"], code: 2, says: &["absent.png"] },
        Case {
            args: &["generate", "x", "--size", "64x64", "--control", "canny=absent.png,model=c"],
            code: 2,
            says: &["absent.png: cannot read"],
        },
        Case {
            args: &["generate", "x", "--control", "canny=a.png,model=c,weight=3"],
            code: 2,
            says: &["control weight is 3", "0 to 2"],
        },
        Case {
            args: &["edit", "a woman", "--to", "a man", "--replace", "2"],
            code: 2,
            says: &["replace is 0 2"],
        },
        Case {
            args: &["edit", "a woman", "--to", "a man", "--equalize", "dog=2"],
            code: 2,
            says: &["the new prompt \"a man\" has no \"dog\""],
        },
        Case { args: &["dataset", "plan", "absent.toml"], code: 2, says: &["absent.toml"] },
        Case { args: &["dataset", "report", "absent"], code: 2, says: &["absent has no candidates.jsonl"] },
        Case {
            args: &["dataset", "review", "absent", "--keep", "000000-0"],
            code: 2,
            says: &["absent has no candidates.jsonl"],
        },
        Case { args: &["dataset", "dedup", "absent"], code: 2, says: &["absent: cannot read the folder"] },
        Case {
            args: &["dataset", "dedup", "absent", "--cosine", "2"],
            code: 2,
            says: &["cosine is 2", "above 0 and at most 1"],
        },
        Case { args: &["models", "inspect", "absent.ckpt"], code: 3, says: &["absent.ckpt"] },
        Case { args: &["models", "pull", "no such repo"], code: 2, says: &["no such repo"] },
    ];
    assert_refused(&cases);
}

#[test]
fn networks_that_cannot_be_applied_are_named() {
    let cases = [
        Case {
            args: &["generate", "a <lora:face:0.8>"],
            code: 3,
            says: &["no LoRA \"face\"", "--models-dir"],
        },
        Case { args: &["generate", "a <hypernet:face>"], code: 2, says: &["<hypernet:face>"] },
        Case {
            args: &["generate", "a", "-N", "<lora:face>"],
            code: 2,
            says: &["negative prompt", "<lora:face>"],
        },
        Case {
            args: &["models", "merge-lora", "tronie-mini", "face", "out"],
            code: 3,
            says: &["no LoRA \"face\""],
        },
        Case {
            args: &["models", "merge-lora", "tronie-mini", "face:inf", "out"],
            code: 2,
            says: &["finite"],
        },
        Case {
            args: &["models", "extract-lora", "tronie-mini", "tronie-mini", "out"],
            code: 2,
            says: &["tronie-mini do not differ"],
        },
    ];
    assert_refused(&cases);
}

#[test]
fn networks_and_pictures_beside_a_model_are_named() {
    let cases = [
        Case {
            args: &["generate", "x", "--control", "a.png,model=c,kind=hand"],
            code: 2,
            says: &["kind:", "soft_edge"],
        },
        Case {
            args: &["generate", "x", "--ip-adapter", "a.png,model=i,weight=3"],
            code: 2,
            says: &["ip-adapter weight is 3", "0 to 2"],
        },
        Case {
            args: &["generate", "x", "--size", "64x64", "--ip-adapter", "absent.png,model=i"],
            code: 2,
            says: &["absent.png: cannot read"],
        },
        Case { args: &["generate", "x", "--vae", "absent"], code: 3, says: &["no model \"absent\""] },
    ];
    assert_refused(&cases);
}

#[test]
fn collections_that_cannot_be_exported_or_evaluated_are_named() {
    let cases = [
        Case {
            args: &["dataset", "export", ".", "--format", "zip", "-o", "out"],
            code: 2,
            says: &["unknown format \"zip\"", "imagefolder, parquet"],
        },
        Case {
            args: &["dataset", "export", ".", "--format", "csv", "-o", "out"],
            code: 2,
            says: &["no pictures in .", "expected files ending in jpg"],
        },
        Case {
            args: &["dataset", "evaluate", ".", "--ssim", "best", "-o", "out"],
            code: 2,
            says: &["best", "standard or coursework"],
        },
    ];
    assert_refused(&cases);
}

#[test]
fn faces_that_cannot_be_looked_at_are_named() {
    let cases = [
        Case {
            args: &["faces", "verify", "a.png", "b.png", "--use", "rfb320"],
            code: 3,
            says: &["\"rfb320\"", "rfb320_opset13.onnx", "--models-dir", "https://"],
        },
        Case {
            args: &["faces", "annotate", ".", "--use", "scrfdd"],
            code: 2,
            says: &["\"scrfdd\"", "scrfd, yunet"],
        },
        Case { args: &["faces", "align", ".", "-o", "out", "--size", "5"], code: 2, says: &["16..=4096"] },
        Case { args: &["faces", "align", ".", "-o", "out", "--template", "lfw"], code: 2, says: &["ffhq"] },
        Case {
            args: &["faces", "annotate", "in", "--overlay", "in/drawn"],
            code: 2,
            says: &["in/drawn is inside of in"],
        },
        Case { args: &["faces", "cluster", "absent.jsonl"], code: 2, says: &["absent.jsonl"] },
        Case {
            args: &["faces", "selftest", "absent.jsonl"],
            code: 2,
            says: &["absent.jsonl", "cannot be read"],
        },
        Case { args: &["train", "faces", "absent.toml"], code: 2, says: &["absent.toml"] },
        Case { args: &["faces", "calibrate", "absent.csv"], code: 2, says: &["absent.csv"] },
        Case {
            args: &["faces", "judge", "absent.jsonl", "--labels", "absent.csv"],
            code: 2,
            says: &["absent.jsonl"],
        },
    ];
    assert_refused(&cases);
}

fn assert_refused(cases: &[Case]) {
    let place = Place::new();
    for case in cases {
        let outcome = place.run(case.args);
        assert_eq!(outcome.code, case.code, "{:?}: {}", case.args, outcome.stderr);
        for says in case.says {
            assert!(outcome.stderr.contains(says), "{:?} should say {says:?}: {}", case.args, outcome.stderr);
        }
        assert_eq!(outcome.stdout, "", "{:?}", case.args);
    }
    assert!(!place.path("out").exists(), "a refused request leaves nothing behind");
}

#[test]
fn minors_and_sexual_content_together_are_refused_at_every_front_door() {
    let place = Place::new();
    let prompt = "nude portrait of a 14 year old girl";
    let outcome = place.run(&["generate", prompt]);
    assert_eq!(outcome.code, 2);
    let spec = format!(
        "name = \"refused\"\nversion = 1\ntemplate = \"{prompt} {{x}}\"\ntotal = 1\n[attributes.x]\nvalues = [\"a\"]\n[quota]\nby = [\"x\"]\nper_cell = 1\n"
    );
    place.write("refused.toml", &spec);
    assert_eq!(place.run(&["dataset", "build", "refused.toml"]).code, 2);
    assert!(!place.path("datasets/refused/images").exists());
}

#[test]
fn a_prompt_of_ten_megabytes_is_refused_at_once() {
    let place = Place::new();
    // Longer than a command line may be: it comes in through an image.
    let made = place.ok(&["generate", "a face", "--steps", "1", "--size", "64x64"]);
    let path = place.path(made.trim());
    let pixels = tronie_image::open(&path).unwrap();
    let entries = tronie_image::read_text_from(&path).unwrap();
    let entries: Vec<tronie_image::TextEntry> = entries
        .into_iter()
        .map(|entry| {
            tronie_image::TextEntry::new(
                entry.key,
                entry.value.replace("a face", &"a face, ".repeat(1_250_000)),
            )
        })
        .collect();
    let bytes = tronie_image::encode(&pixels, tronie_image::ImageFormat::Png, &entries).unwrap();
    fs::write(place.path("long.png"), bytes).unwrap();
    let outcome = place.run(&["generate", "--like", "long.png"]);
    assert_eq!(outcome.code, 2, "{}", outcome.stderr);
    assert!(outcome.stderr.len() < 1000, "{}", outcome.stderr.len());
}

#[test]
fn unbalanced_brackets_are_text() {
    let place = Place::new();
    for prompt in ["((((a face", "a face]]]", "[a:b", "a (face:1.x)"] {
        place.ok(&["generate", prompt, "--steps", "1", "--size", "64x64"]);
    }
}

#[test]
fn an_unwritable_folder_is_an_environment_error() {
    let place = Place::new();
    place.write("file", "");
    let outcome = place.run(&["generate", "x", "--steps", "1", "--size", "64x64", "-o", "file/inside"]);
    assert_eq!(outcome.code, 3, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("file/inside"), "{}", outcome.stderr);
}

/// Rewrites a safetensors file with other names of its tensors.
fn rename_tensors(place: &Place, file: &str, rename: impl Fn(&str) -> String) {
    let path = place.path(file);
    let source = SafetensorsFile::open(&path).unwrap();
    let tensors =
        source.names().into_iter().map(|name| (rename(&name), source.read(&name).unwrap().unwrap()));
    write_safetensors(&path, &BTreeMap::new(), tensors).unwrap();
}

#[test]
fn a_file_cut_short_says_how_long_it_should_be() {
    let place = Place::new();
    place.ok(&["models", "convert", "tronie-mini", "cut.safetensors"]);
    let path = place.path("cut.safetensors");
    let n_bytes = fs::metadata(&path).unwrap().len();
    for keep in [n_bytes - 1, n_bytes / 2, 1000, 4, 0] {
        fs::File::options().write(true).open(&path).unwrap().set_len(keep).unwrap();
        for args in [["models", "inspect", "cut.safetensors"], ["generate", "x", "--model=cut.safetensors"]] {
            let outcome = place.run(&args);
            assert_eq!(outcome.code, 2, "{keep} bytes: {}", outcome.stderr);
            assert!(outcome.stderr.contains("cut.safetensors"), "{keep} bytes: {}", outcome.stderr);
        }
    }
}

#[test]
fn a_tensor_of_another_name_is_told_with_the_nearest_there_is() {
    let place = Place::new();
    place.ok(&["models", "convert", "tronie-mini", "folder"]);
    let unet = "folder/unet/diffusion_pytorch_model.safetensors";
    rename_tensors(&place, unet, |name| name.replace("conv_norm_out.bias", "conv_norm_oat.bias"));
    let outcome = place.run(&["generate", "x", "--model", "folder"]);
    assert_eq!(outcome.code, 2, "{}", outcome.stderr);
    for says in
        ["unet of folder", "\"conv_norm_out.bias\"", "nearest name in the file is \"conv_norm_oat.bias\""]
    {
        assert!(outcome.stderr.contains(says), "{says}: {}", outcome.stderr);
    }
}

#[test]
fn a_single_file_of_no_known_family_is_told_the_families() {
    let place = Place::new();
    place.ok(&["models", "convert", "tronie-mini", "mini.safetensors"]);
    // Without the configurations in its metadata it is a network of unknown measures.
    rename_tensors(&place, "mini.safetensors", str::to_owned);
    for args in [
        ["generate", "x", "--model=mini.safetensors"].as_slice(),
        &["models", "convert", "mini.safetensors", "folder"],
    ] {
        let outcome = place.run(args);
        assert_eq!(outcome.code, 2, "{}", outcome.stderr);
        assert!(
            outcome.stderr.contains("unknown model family \"custom\", expected one of: sd15"),
            "{}",
            outcome.stderr
        );
    }
    assert!(!place.path("folder").exists());
}

#[test]
fn specs_that_cannot_be_met_are_refused_with_the_line_or_the_sum() {
    let spec = |more: &str, quota: &str| {
        format!(
            "name = \"s\"\nversion = 1\ntemplate = \"a {{x}}\"\n{more}\n[attributes.x]\nvalues = [\"cat\", \"dog\"]\n[quota]\nby = [\"x\"]\n{quota}\n"
        )
    };
    let cases = [
        (spec("total = 4\nsteps = 5", "per_cell = 2"), "steps"),
        (spec("total = 4", "per_cell = 2\nper_sell = 3"), "per_sell"),
        (spec("total = 5", "per_cell = 2"), "the cells add up to 4 images, expected total = 5"),
        (spec("total = 4\n[generation]\ncolour = \"red\"", "per_cell = 2"), "colour"),
        (spec("total = 4", "per_cell = -2"), "line 9, column 12"),
    ];
    let place = Place::new();
    for (text, says) in cases {
        place.write("spec.toml", &text);
        for command in ["plan", "build"] {
            let outcome = place.run(&["dataset", command, "spec.toml"]);
            assert_eq!(outcome.code, 2, "{text}: {}", outcome.stderr);
            assert!(outcome.stderr.contains(says), "{says}: {}", outcome.stderr);
        }
    }
    assert!(!place.path("datasets").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_environment_error_and_leaves_no_half_image() {
    let place = Place::new();
    let program = place.command(&[]);
    // A limit on file size stands in for a full disk: writes fail midway, once the signal that comes with it is ignored.
    let script = "trap '' XFSZ; ulimit -f 4; exec \"$0\" generate x --steps 1 --size 64x64";
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).arg(program.get_program());
    shell.env_clear().current_dir(place.path("")).env("HOME", place.path(""));
    let output = shell.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("cannot write out/000000-"), "{stderr}");
    assert!(contents(&place.path("out")).is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_stdout_is_an_environment_error() {
    let place = Place::new();
    for args in [["models", "list"], ["completions", "bash"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = place.command(&args).stdout(full).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{args:?}: {stderr}");
        assert!(stderr.contains("cannot write to stdout"), "{args:?}: {stderr}");
    }
}

/// Sends Ctrl-C and gives the exit code.
#[cfg(unix)]
fn interrupt(mut child: Child) -> Option<i32> {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    child.wait().unwrap().code()
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_generate_with_130_and_only_whole_images() {
    let place = Place::new();
    let args = ["generate", "a face", "--steps", "2", "--size", "64x64", "-n", "1000"];
    let mut child = place.command(&args).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert_eq!(interrupt(child), Some(130));
    let files = contents(&place.path("out"));
    assert!(files.iter().any(|(name, _)| first.ends_with(name.as_str())), "{first}");
    for (name, _) in files {
        assert!(name.ends_with(".png") && !name.starts_with('.'), "{name}");
        tronie_image::open(&place.path("out").join(name)).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_build_with_130_and_only_whole_images() {
    let place = Place::new();
    let spec = "name = \"s\"\nversion = 1\ntemplate = \"a {x}\"\ntotal = 1000\n[generation]\nwidth_px = 64\nheight_px = 64\nsteps = 2\n[attributes.x]\nvalues = [\"man\"]\n[quota]\nby = [\"x\"]\nper_cell = 1000\n";
    place.write("s.toml", spec);
    let child =
        place.command(&["dataset", "build", "s.toml", "-o", "s"]).stdout(Stdio::null()).spawn().unwrap();
    let images = place.path("s/images");
    while !images.join("000001.png").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(interrupt(child), Some(130));
    for (name, _) in contents(&images) {
        tronie_image::open(&images.join(name)).unwrap();
    }
    assert!(place.ok(&["dataset", "status", "s"]).contains("incomplete"));
}
