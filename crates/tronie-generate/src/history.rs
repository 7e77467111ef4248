//! What a picture says about how it was made, whichever program made it.
//!
//! [`history_in`] turns a picture's text entries into a [`History`]: a request of ours, the weights it names, and everything
//! that could not be taken over, each with the reason. A program is one file and one row of `PROGRAMS`.

mod a1111;
mod comfy;
mod invoke;
mod version;
mod weights;

use std::path::Path;

use tronie_image::TextEntry;
use tronie_weights::Kind;

pub use weights::{Search, Weights, find_weights};

use crate::record::{KEYWORD, Record};
use crate::{GenerateError, GenerateRequest, Inpaint, Source};

/// How a picture was made.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The program that wrote it, with its version where that is known.
    pub program: String,
    /// The request that makes it again. Its model is the name that the picture gives.
    pub request: GenerateRequest,
    /// Files it was made with.
    pub weights: Vec<NamedWeights>,
    /// How a picture was started from, when one was. No program writes the picture itself, so its path is empty.
    pub source: Option<Source>,
    /// How a mask was used, when there was one. No program writes the mask either.
    pub inpaint: Option<Inpaint>,
    /// What is not taken over.
    pub gaps: Vec<Gap>,
}

impl History {
    fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            request: GenerateRequest::new(""),
            weights: Vec::new(),
            source: None,
            inpaint: None,
            gaps: Vec::new(),
        }
    }

    fn gap(&mut self, field: impl Into<String>, found: impl Into<String>, reason: impl Into<String>) {
        self.gaps.push(Gap { field: field.into(), found: found.into(), reason: reason.into() });
    }

    fn names(&mut self, kind: Kind, name: impl Into<String>, hash: Option<&str>) {
        self.weights.push(NamedWeights { kind, name: name.into(), hash: hash.map(str::to_owned) });
    }
}

/// A file that a picture names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedWeights {
    /// What it is.
    pub kind: Kind,
    /// As the program shows it, mostly the file's name without ending.
    pub name: String,
    /// The beginning of its hash, hexadecimal, as the program computes it for this kind.
    pub hash: Option<String>,
}

/// A part of a history that the request does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// What the program calls it.
    pub field: String,
    /// Its value.
    pub found: String,
    /// Why it is left out, and what may follow.
    pub reason: String,
}

/// A program that writes its settings into pictures.
struct Program {
    /// Its name.
    title: &'static str,
    /// Reads its entries; `None` where they are another program's.
    read: fn(&[TextEntry]) -> Option<Result<History, String>>,
}

/// Every program that is understood; the first that finds its entries wins. A1111's text comes last, because others write it too.
const PROGRAMS: &[Program] = &[
    Program { title: "tronie", read: own },
    Program { title: "InvokeAI", read: invoke::read },
    Program { title: "ComfyUI", read: comfy::read },
    Program { title: "Stable Diffusion web UI", read: a1111::read },
];

/// How the picture with these entries was made; `path` is only for messages.
///
/// # Errors
/// [`GenerateError::NoRecord`] when no program's settings are among them, [`GenerateError::BadHistory`] when they make no sense.
pub fn history_in(entries: &[TextEntry], path: &Path) -> Result<History, GenerateError> {
    let file = path.display().to_string();
    for program in PROGRAMS {
        if let Some(history) = (program.read)(entries) {
            let program = program.title;
            return history.map_err(|reason| GenerateError::BadHistory { file, program, reason });
        }
    }
    Err(GenerateError::NoRecord { file })
}

/// The entry of a key.
fn entry<'a>(entries: &'a [TextEntry], key: &str) -> Option<&'a str> {
    entries.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
}

fn own(entries: &[TextEntry]) -> Option<Result<History, String>> {
    let record: Result<Record, _> = serde_json::from_str(entry(entries, KEYWORD)?);
    Some(record.map(of_record).map_err(|error| format!("{error}; it may come from a newer tronie")))
}

fn of_record(record: Record) -> History {
    let mut history = History::new(format!("tronie {}", record.tronie));
    history.names(Kind::Checkpoint, &record.request.model, Some(&record.model_sha256));
    for lora in &record.loras {
        history.names(Kind::Lora, &lora.name, Some(&lora.sha256));
    }
    if let Some(refiner) = &record.request.refiner {
        history.names(Kind::Checkpoint, &refiner.model, record.refiner_sha256.as_deref());
    }
    if let Some(vae) = &record.request.vae {
        history.names(Kind::Vae, vae, record.vae_sha256.as_deref());
    }
    for prompt in &record.request.image_prompts {
        history.names(Kind::IpAdapter, &prompt.model, None);
    }
    for unit in &record.request.control {
        history.names(Kind::ControlNet, &unit.model, None);
    }
    history.request = record.request;
    history
}

#[cfg(test)]
mod tests;
