//! `tronie completions <shell>`.

use std::io;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;
use crate::report::Report;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell to complete in
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<(), Report> {
    clap_complete::generate(args.shell, &mut Cli::command(), "tronie", &mut io::stdout().lock());
    Ok(())
}
