//! The pages under `docs/` that are generated from the code: every command with its options, every sampler, schedule and
//! profile, every annotator of faces, every measure of datasets, every format of exports. A page that differs from the code fails the test; `cargo xtask docs` writes it again.

use std::fs;
use std::iter;

use clap::CommandFactory as _;
use tronie_dataset::{FORMATS, MEASURES, Need, Read};
use tronie_faces::{ANNOTATORS, Metric, THRESHOLDS};
use tronie_sampling::{PROFILES, SAMPLERS, SCHEDULES, StrengthRule};
use tronie_tensor::noise::Streams;

use super::Cli;

/// Columns of the help texts, whatever the terminal.
const WIDTH: usize = 100;
const NOTE: &str = "<!-- Generated from the code by `cargo xtask docs`. -->\n\n";

#[test]
fn the_command_line_page_is_what_help_says() {
    let mut command = Cli::command().term_width(WIDTH);
    command.build();
    let mut page = format!("{NOTE}# Command line\n");
    add_command(&mut page, "tronie", &command);
    check("cli.md", &page);
}

#[test]
fn the_samplers_page_has_every_row_of_the_tables() {
    let page = format!(
        "{NOTE}# Samplers, schedules, profiles\n\n\
         Names are found whatever their case, spaces and punctuation. A sampler's name may end in a schedule's, as A1111 \
         writes it (`DPM++ 2M Karras`). The first name in a row is the id, which images store.\n\n\
         ## Samplers\n\n{}\n## Schedules\n\n{}\n## Profiles\n\n\
         Whose numbers are followed, `--profile`. The first is the default.\n\n{}",
        samplers(),
        schedules(),
        profiles()
    );
    check("samplers.md", &page);
}

#[test]
fn the_annotators_page_has_every_row_of_the_tables() {
    let page = format!(
        "{NOTE}# Annotators\n\n\
         What `tronie faces` can say about faces. Those marked as default run when nothing is chosen; `--use ID` adds another, or \
         puts it in the place of the default one that makes the same part. Files are looked for in the models folders and in \
         their `annotators` folders; small ones are inside the program and stand in where no file of a default one is found; a file of their name goes before them.\n\n{}\n\
         ## Thresholds\n\n\
         Up to which distance `tronie faces verify` and `cluster` take two faces for one person.\n\n{}",
        annotators(),
        thresholds()
    );
    check("annotators.md", &page);
}

#[test]
fn the_measures_page_has_every_row_of_the_table() {
    let rows = MEASURES.iter().map(|row| {
        let values = match row.read {
            Read::Number(_) | Read::Taste => "a number".to_owned(),
            Read::Name(names, _) => code(names.iter().copied()),
        };
        let makers = ANNOTATORS.iter().filter(|annotator| annotator.makes.contains(&row.part));
        vec![code([row.id]), row.title.to_owned(), values, code(makers.map(|annotator| annotator.id))]
    });
    let page = format!(
        "{NOTE}# Measures\n\n\
         What `[[filters]]` and `[verify.ATTRIBUTE]` of a dataset's spec can use. Measures of a face are those of the largest one; a \
         measure without a value passes no filter. `[measure]` runs the default annotators and those in its list `annotators`; \
         `taste` is the file that `tronie faces judge --save` has written, beside the spec.\n\n{}",
        table(&["Id", "What", "Values", "Made by one of"], rows)
    );
    check("measures.md", &page);
}

#[test]
fn the_exports_page_has_every_row_of_the_table() {
    let rows = FORMATS.iter().map(|row| {
        let needs = row.needs.map_or("", Need::words).to_owned();
        vec![code([row.id]), row.title.to_owned(), row.layout.to_owned(), needs]
    });
    let page = format!(
        "{NOTE}# Exports\n\n\
         What `tronie dataset export --format ID` writes. Pictures are copied byte for byte; splits are kept. Every export has \
         `manifest.sha256` with the hashes of its files, for `sha256sum -c`, and `export.json`, which says what it is of. `faces` \
         of `--annotations` are a field of the metadata in the formats that have one.\n\n{}",
        table(&["Id", "For", "Layout", "Needs"], rows)
    );
    check("exports.md", &page);
}

/// A heading and `--help` of a command, then of the commands below it.
fn add_command(page: &mut String, path: &str, command: &clap::Command) {
    let help = command.clone().render_help().to_string();
    let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    page.push_str(&format!("\n## {path}\n\n```text\n{}\n```\n", lines.join("\n")));
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        add_command(page, &format!("{path} {}", below.get_name()), below);
    }
}

fn samplers() -> String {
    let rows = SAMPLERS.iter().map(|row| {
        vec![
            code([row.id]),
            row.title.to_owned(),
            code(row.aliases.iter().copied()),
            row.order.to_string(),
            row.looks_per_step.to_string(),
            if row.stochastic { "yes" } else { "no" }.to_owned(),
            code([row.default_schedule]),
        ]
    });
    let head = [
        "Id",
        "Name",
        "Also",
        "Order",
        "Network calls per step",
        "Draws noise at steps",
        "Schedule when none is named",
    ];
    table(&head, rows)
}

fn schedules() -> String {
    let rows = SCHEDULES
        .iter()
        .map(|row| vec![code([row.id]), row.title.to_owned(), code(row.aliases.iter().copied())]);
    table(&["Id", "Name", "Also"], rows)
}

fn profiles() -> String {
    let rows = PROFILES.iter().map(|row| {
        let rng = serde_json::to_value(row.rng).unwrap();
        vec![
            code([row.id]),
            row.title.to_owned(),
            code(rng.as_str()),
            match row.streams {
                Streams::PerImage => "one seed per image",
                Streams::WholeBatch => "one tensor for the batch",
            }
            .to_owned(),
            code([row.emphasis]),
            if row.truncates_prompts { "cut at 77 tokens" } else { "chunks" }.to_owned(),
            row.default_schedule.map_or_else(|| "the sampler's".to_owned(), |id| code([id])),
            if row.halves_alphas { "of half-precision alphas" } else { "in full precision" }.to_owned(),
            match row.from_picture.strength {
                StrengthRule::OneMore => {
                    "the last `int(min(d, 0.999) n) + 1`, one less with DDIM, PLMS and UniPC"
                }
                StrengthRule::Share => "the last `int(d n)`",
                StrengthRule::PartOfLonger => "the last n of `int(n / d)`",
            }
            .to_owned(),
        ]
    });
    let head = [
        "Id",
        "Program",
        "Noise",
        "Batches",
        "Prompt weights",
        "Long prompts",
        "Schedule when none is named",
        "Noise levels",
        "Steps of n at strength d",
    ];
    table(&head, rows)
}

fn annotators() -> String {
    let rows = ANNOTATORS.iter().map(|row| {
        let makes = code(row.makes.iter().map(|part| part.name()));
        let default = if row.is_default { "yes" } else { "no" }.to_owned();
        let [files, licence, source] = match row.source.network() {
            None => [const { String::new() }; 3],
            Some(network) => [
                code(network.files.iter().map(|file| file.name)),
                format!("{} ({})", network.licence, network.credit),
                network.source_url.to_owned(),
            ],
        };
        vec![code([row.id]), row.title.to_owned(), makes, default, files, licence, source]
    });
    table(
        &["Id", "What", "Makes", "Default", "Files, the first found is used", "Licence (credit)", "From"],
        rows,
    )
}

fn thresholds() -> String {
    let rows = THRESHOLDS.iter().map(|row| {
        let metric = Metric::ALL.into_iter().find(|(_, metric)| *metric == row.metric).map(|(id, _)| id);
        vec![code([row.network]), code(metric), row.threshold.to_string(), row.origin.to_owned()]
    });
    table(&["Network", "Metric", "Threshold", "From"], rows)
}

fn code<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    words.join(" ")
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let rule: Vec<String> = iter::repeat_n("---".to_owned(), head.len()).collect();
    iter::once(head).chain([rule]).chain(rows).map(|cells| line(&cells)).collect()
}

/// Compares a page with its file, and leaves the page beside it where they differ.
fn check(name: &str, page: &str) {
    let path = tronie_testing::repository().join("docs").join(name);
    if fs::read_to_string(&path).is_ok_and(|text| text == page) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path.with_extension("new.md"), page).unwrap();
    panic!("docs/{name} is not what the code says: run `cargo xtask docs` and commit what it writes");
}
