//! `tronie dataset report` and `review`: what rules have decided, and decisions by hand.

use std::path::PathBuf;

use serde_json::json;
use tronie_dataset::{Decided, Decision, Ruling, decided};

use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct ReportArgs {
    /// The folder of a dataset with rules
    folder: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReviewArgs {
    /// The folder of a dataset with rules
    folder: PathBuf,
    /// Keep this picture or candidate from the next build on, whatever the rules say
    #[arg(long, value_name = "FILE", conflicts_with_all = ["drop", "undo"])]
    keep: Option<String>,
    /// Keep this picture no more
    #[arg(long, value_name = "FILE", conflicts_with = "undo")]
    drop: Option<String>,
    /// Let the rules decide about this picture again
    #[arg(long, value_name = "FILE")]
    undo: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", requires = "drop")]
    because: Option<String>,
    /// List only candidates that failed this rule, such as "sharpness" or "verify age"
    #[arg(long, value_name = "RULE", conflicts_with_all = ["keep", "drop", "undo"])]
    rule: Option<String>,
}

pub(super) fn report(args: &ReportArgs, ui: &mut Ui) -> Result<(), Report> {
    let (audit, text) = tronie_dataset::report(&args.folder)?;
    ui.result(text.trim(), json!({ "audit": audit }))
}

pub(super) fn review(args: &ReviewArgs, ui: &mut Ui) -> Result<(), Report> {
    let because = args.because.clone().unwrap_or_default();
    let rulings = [
        (&args.keep, Ruling::Keep, "is kept"),
        (&args.drop, Ruling::Drop { because }, "is not kept"),
        (&args.undo, Ruling::Undo, "is decided about by the rules"),
    ];
    for (name, ruling, says) in rulings {
        let Some(name) = name else { continue };
        let decided = tronie_dataset::review(&args.folder, name, &ruling)?;
        return ui.result(
            &format!("{} {says} from the next build on", decided.candidate),
            json!({ "candidate": decided.candidate, "file": decided.file_name }),
        );
    }
    let is_wanted = |decided: &Decided| {
        let mut rules = decided.reasons.iter().map(|reason| &reason.rule);
        args.rule.as_ref().is_none_or(|wanted| rules.any(|rule| rule == wanted))
    };
    for decided in decided(&args.folder)?.into_iter().filter(is_wanted) {
        let state = match decided.decision {
            Decision::Kept => "kept",
            Decision::Dropped => "dropped",
            Decision::Spare => "spare",
        };
        let reasons: Vec<&str> = decided.reasons.iter().map(|reason| reason.says.as_str()).collect();
        let file = decided.file_name.as_deref().unwrap_or("deleted");
        let text = format!("{} {state} {file} ({}) {}", decided.candidate, decided.cell, reasons.join("; "));
        ui.result(text.trim_end(), json!(decided))?;
    }
    Ok(())
}
