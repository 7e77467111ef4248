//! `tronie doctor`: what this machine has for tronie, and what it lacks.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use serde_json::{Value, json};
use tronie_tensor::device;

use super::models::Places;
use crate::environment::Environment;
use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    places: Places,
}

/// One finding: what was looked at, whether it is fine, and what was seen.
struct Finding {
    subject: &'static str,
    is_fine: bool,
    seen: String,
}

pub(crate) fn run(args: &Args, ui: &mut Ui) -> Result<(), Report> {
    let environment = Environment::read();
    let mut findings = vec![
        Finding { subject: "program", is_fine: true, seen: format!("tronie {}", env!("CARGO_PKG_VERSION")) },
        cores(),
        memory(),
        devices(&args.places.device),
        embedded(),
        cache(&environment),
        token(&environment),
    ];
    findings.extend(environment.models_dirs.iter().map(|folder| models_dir(folder)));
    let rows: Vec<Value> = findings
        .iter()
        .map(|finding| json!({ "subject": finding.subject, "ok": finding.is_fine, "seen": finding.seen }))
        .collect();
    let lines = findings.iter().map(|finding| {
        let mark = if finding.is_fine { "ok " } else { "!! " };
        format!("{mark}{:12} {}", finding.subject, finding.seen)
    });
    ui.result(&lines.collect::<Vec<_>>().join("\n"), json!({ "findings": rows }))
}

fn cores() -> Finding {
    let n = available_parallelism().map_or(1, usize::from);
    Finding { subject: "cores", is_fine: true, seen: n.to_string() }
}

/// Linux says how much memory is free; elsewhere nothing is claimed.
fn memory() -> Finding {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    match available {
        None => Finding { subject: "memory", is_fine: true, seen: "unknown on this system".into() },
        Some(kib) => {
            let gib = kib as f64 / (1024.0 * 1024.0);
            let needs = "Stable Diffusion 1.5 at 512x512 needs about 4";
            Finding {
                subject: "memory",
                is_fine: gib >= 1.0,
                seen: format!("{gib:.1} GiB available; {needs}"),
            }
        }
    }
}

fn devices(wanted: &str) -> Finding {
    let built_in = device::built_in().join(", ");
    match device::open(wanted) {
        Ok(_) => Finding {
            subject: "device",
            is_fine: true,
            seen: format!("{wanted} opens; this build has: {built_in}"),
        },
        Err(error) => Finding {
            subject: "device",
            is_fine: false,
            seen: format!("{error}; this build has: {built_in}"),
        },
    }
}

fn embedded() -> Finding {
    let seen =
        if cfg!(feature = "embedded") { "tronie-mini is inside the program" } else { "none in this build" };
    Finding { subject: "model", is_fine: cfg!(feature = "embedded"), seen: seen.into() }
}

fn cache(environment: &Environment) -> Finding {
    let (is_fine, seen) = match &environment.hub_cache {
        None => (false, "no home folder, so downloads have no place; set HF_HUB_CACHE".to_owned()),
        Some(folder) if folder.is_dir() => (true, folder.display().to_string()),
        Some(folder) => (true, format!("{} (not there yet, made when needed)", folder.display())),
    };
    Finding { subject: "hub cache", is_fine, seen }
}

fn token(environment: &Environment) -> Finding {
    let seen = match (&environment.hub_token, environment.is_offline) {
        (_, true) => "offline: HF_HUB_OFFLINE is set",
        (Some(_), false) => "HF_TOKEN is set", // never its value
        (None, false) => "HF_TOKEN is not set; public models need none",
    };
    Finding { subject: "hub token", is_fine: true, seen: seen.into() }
}

fn models_dir(folder: &Path) -> Finding {
    let is_fine = folder.is_dir();
    let seen =
        if is_fine { folder.display().to_string() } else { format!("{} is not a folder", folder.display()) };
    Finding { subject: "models", is_fine, seen }
}
