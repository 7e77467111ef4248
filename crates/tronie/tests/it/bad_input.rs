use std::fs;

use crate::support::Place;

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
        Case { args: &["generate", "a <lora:face:0.8>"], code: 2, says: &["<lora:face>"] },
        Case { args: &["generate", "--like", "absent.png"], code: 2, says: &["absent.png"] },
        Case { args: &["dataset", "plan", "absent.toml"], code: 2, says: &["absent.toml"] },
        Case { args: &["models", "inspect", "absent.ckpt"], code: 3, says: &["absent.ckpt"] },
        Case { args: &["models", "pull", "no such repo"], code: 2, says: &["no such repo"] },
    ];
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
