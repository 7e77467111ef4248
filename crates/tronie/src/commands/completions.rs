//! `tronie completions <shell>`.

use clap::CommandFactory as _;
use clap_complete::Shell;
use serde_json::json;

use super::Cli;
use crate::report::Report;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell to complete in
    shell: Shell,
}

pub(crate) fn run(args: &Args, ui: &mut Ui) -> Result<(), Report> {
    // Into memory first: clap panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tronie", &mut script);
    let script = String::from_utf8_lossy(&script);
    ui.result(script.trim_end(), json!({ "shell": args.shell.to_string(), "script": script }))
}
