//! The program: arguments in, data on stdout, talk on stderr, an exit code that says how it ended.

mod commands;
mod environment;
mod generator;
mod report;
mod ui;

use std::process::ExitCode;

use clap::Parser as _;

use crate::commands::Cli;
use crate::ui::Ui;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut ui = Ui::new(cli.output);
    match commands::run(cli.command, &mut ui) {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            ui.fail(&report);
            ExitCode::from(report.fault.exit_code())
        }
    }
}
