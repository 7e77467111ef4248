//! stdout is data, stderr is talk: progress bars on a terminal, JSON lines with `--json`, nothing with `--quiet`.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tronie_base::{Cancelled, Fault, Faulty, Progress};

use crate::report::Report;

/// Version of the JSON lines: fields are added within a version, never changed.
const SCHEMA_VERSION: u32 = 1;
/// Shortest time between two progress lines of `--json`.
const JSON_PERIOD: Duration = Duration::from_millis(500);

/// How a command talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::Args)]
pub(crate) struct Output {
    /// One JSON object per line on stdout: results, and progress while it runs.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress, only results and errors.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// The terminal, as commands see it.
pub(crate) struct Ui {
    output: Output,
    bar: Option<ProgressBar>,
    stage: String,
    numbers: String,
    done: u64,
    total: u64,
    last_line: Option<Instant>,
    interrupts: Arc<AtomicU32>,
}

impl Ui {
    /// Also takes over Ctrl-C: the first asks the work to stop, the second ends the program.
    pub(crate) fn new(output: Output) -> Self {
        let interrupts = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&interrupts);
        let handler = move || {
            if counter.fetch_add(1, Ordering::SeqCst) > 0 {
                std::process::exit(i32::from(Fault::Interrupted.exit_code()));
            }
        };
        // Without a handler Ctrl-C still ends the program, and files still appear whole or not at all.
        let _ = ctrlc::set_handler(handler);
        Self {
            output,
            bar: None,
            stage: String::new(),
            numbers: String::new(),
            done: 0,
            total: 0,
            last_line: None,
            interrupts,
        }
    }

    /// One result: its JSON object with `--json`, else `text`.
    pub(crate) fn result(&mut self, text: &str, value: Value) -> Result<(), Report> {
        if self.output.json { self.line(&with_header("result", value)) } else { self.line(text) }
    }

    /// A file that was made.
    pub(crate) fn file(&mut self, path: &Path, mut value: Value) -> Result<(), Report> {
        let text = path.display().to_string();
        if let Some(object) = value.as_object_mut() {
            object.insert("path".into(), json!(text));
        }
        self.result(&text, value)
    }

    /// The end of a failed command.
    pub(crate) fn fail(&mut self, report: &Report) {
        self.finish();
        if self.output.json {
            let value = json!({ "message": report.message, "hint": report.hint, "exit_code": report.fault.exit_code() });
            // A closed stdout leaves nobody to tell; the exit code still does.
            let _ = self.line(&with_header("error", value));
        }
        let mut stderr = io::stderr().lock();
        let _ = writeln!(stderr, "error: {}", report.message);
        if let Some(hint) = &report.hint {
            let _ = writeln!(stderr, "hint: {hint}");
        }
    }

    /// Removes the progress bar.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn line(&mut self, text: &str) -> Result<(), Report> {
        let write = || writeln!(io::stdout().lock(), "{text}");
        let written = match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        };
        match written {
            // The reader has seen enough (`| head`): stop quietly, as every command-line tool does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => Err(StdoutError(error).into()),
            Ok(()) => Ok(()),
        }
    }

    fn progress_line(&mut self) {
        let is_due =
            self.last_line.is_none_or(|last| last.elapsed() >= JSON_PERIOD) || self.done == self.total;
        if self.output.json && !self.output.quiet && is_due {
            self.last_line = Some(Instant::now());
            let mut value = json!({ "stage": self.stage, "done": self.done, "total": self.total });
            if let Some(object) = value.as_object_mut().filter(|_| !self.numbers.is_empty()) {
                object.insert("numbers".into(), json!(self.numbers));
            }
            // Losing a progress line is no reason to lose the work.
            let _ = self.line(&with_header("progress", value));
        }
    }
}

/// stdout is gone.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to stdout: {0}")]
struct StdoutError(io::Error);

impl Faulty for StdoutError {
    fn fault(&self) -> Fault {
        Fault::Environment
    }
}

fn with_header(event: &str, value: Value) -> String {
    let mut object = json!({ "schema_version": SCHEMA_VERSION, "event": event });
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), value) {
        object.extend(fields);
    }
    object.to_string()
}

impl Progress for Ui {
    fn begin(&mut self, stage: &str, total: u64) {
        self.finish();
        (self.stage, self.done, self.total) = (stage.to_owned(), 0, total);
        self.numbers.clear();
        if !self.output.json && !self.output.quiet && io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let template = "{msg:12} {wide_bar} {pos}/{len} {per_sec} eta {eta}";
            bar.set_style(
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.set_message(stage.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            self.bar = Some(bar);
        }
        self.progress_line();
    }

    fn advance(&mut self, n: u64) {
        self.done += n;
        if let Some(bar) = &self.bar {
            bar.inc(n);
        }
        self.progress_line();
    }

    fn show(&mut self, numbers: &str) {
        numbers.clone_into(&mut self.numbers);
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} {numbers}", self.stage));
        }
    }

    fn note(&mut self, message: &str) {
        if self.output.quiet {
            return;
        }
        let write = || writeln!(io::stderr().lock(), "{message}");
        // Talk that cannot be heard is not worth stopping for.
        let _ = match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        };
    }

    fn check(&self) -> Result<(), Cancelled> {
        if self.interrupts.load(Ordering::SeqCst) > 0 { Err(Cancelled) } else { Ok(()) }
    }
}
