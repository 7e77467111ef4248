//! Extra networks named in a prompt: `<lora:film:0.8>`.
//!
//! Notation of AUTOMATIC1111/stable-diffusion-webui (`modules/extra_networks.py`, `extensions-builtin/Lora`):
//! `<kind:argument:...>`, where an argument is positional or `name=value`.

use std::sync::LazyLock;

use regex::Regex;
use tronie_base::{Fault, Faulty};

#[expect(clippy::expect_used, reason = "a constant pattern, compiled by every test")]
static NETWORK: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"<(\w+):([^>]+)>").expect("the network pattern is valid"));

/// One `<kind:...>` of a prompt, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkRef {
    /// What stands before the first colon: "lora", "lyco", "hypernet", ...
    pub kind: String,
    /// Arguments without a name, in order.
    pub positional: Vec<String>,
    /// Arguments written `name=value`, in order.
    pub named: Vec<(String, String)>,
}

/// A LoRA and how strongly it acts on each network. 1 is the strength it was trained for, negative values invert it.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraRef {
    /// File name without extension, or alias.
    pub name: String,
    /// Strength on the text encoders.
    pub text_strength: f32,
    /// Strength on the UNet.
    pub unet_strength: f32,
}

/// A reference to a network that makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NetworkError {
    /// No name is given.
    #[error("<{kind}:...> names no file")]
    NoName {
        /// Kind of the network.
        kind: String,
    },
    /// A strength is not a finite number.
    #[error("the strength of {kind} {name:?} is {found:?}, expected a number")]
    BadStrength {
        /// Kind of the network.
        kind: String,
        /// Name of the network.
        name: String,
        /// What stands in its place.
        found: String,
    },
    /// An argument that would be ignored.
    #[error(
        "{kind} {name:?} has the argument {found:?}, expected strengths alone, named te= or unet= or not at all"
    )]
    UnknownArgument {
        /// Kind of the network.
        kind: String,
        /// Name of the network.
        name: String,
        /// The argument.
        found: String,
    },
}

impl Faulty for NetworkError {
    fn fault(&self) -> Fault {
        Fault::Input
    }

    fn hint(&self) -> Option<String> {
        Some("write <lora:name:0.8>, or <lora:name:text strength:unet strength>".into())
    }
}

impl NetworkRef {
    fn new(kind: &str, arguments: &str) -> Self {
        let mut network = Self { kind: kind.to_owned(), positional: Vec::new(), named: Vec::new() };
        for argument in arguments.split(':') {
            match argument.split_once('=') {
                Some((name, value)) => network.named.push((name.to_owned(), value.to_owned())),
                None => network.positional.push(argument.to_owned()),
            }
        }
        network
    }

    /// Reads the arguments as those of a LoRA: name, strength on the text encoder (default 1), strength on the UNet
    /// (default: the same), the strengths also as `te=` and `unet=`.
    ///
    /// # Errors
    /// [`NetworkError`] when the name is missing, a strength is not a number, or there is another argument: A1111 has a
    /// fourth one (`dyn=`, a part of the rank), and extensions have their own, which all make another image.
    pub fn lora(&self) -> Result<LoraRef, NetworkError> {
        let name = self.positional.first().filter(|name| !name.trim().is_empty());
        let name = name.ok_or_else(|| NetworkError::NoName { kind: self.kind.clone() })?;
        let extra = self.positional.get(3).cloned();
        let unknown = self.named.iter().find(|(key, _)| key != "te" && key != "unet");
        if let Some(found) = extra.or(unknown.map(|(key, value)| format!("{key}={value}"))) {
            let (kind, name) = (self.kind.clone(), name.clone());
            return Err(NetworkError::UnknownArgument { kind, name, found });
        }
        let text_strength = self.strength(name, 1, "te")?.unwrap_or(1.0);
        let unet_strength = self.strength(name, 2, "unet")?.unwrap_or(text_strength);
        Ok(LoraRef { name: name.clone(), text_strength, unet_strength })
    }

    /// A named argument wins over a positional one.
    fn strength(&self, name: &str, position: usize, key: &str) -> Result<Option<f32>, NetworkError> {
        let named = self.named.iter().rev().find(|pair| pair.0 == key).map(|pair| &pair.1);
        let Some(text) = named.or_else(|| self.positional.get(position)) else {
            return Ok(None);
        };
        let number = text.trim().parse().ok().filter(|number: &f32| number.is_finite());
        number.map(Some).ok_or_else(|| NetworkError::BadStrength {
            kind: self.kind.clone(),
            name: name.to_owned(),
            found: text.clone(),
        })
    }
}

/// Takes all `<kind:...>` out of a prompt; the text around them is left as it is. An unclosed `<` is text.
#[must_use]
pub fn extract_networks(text: &str) -> (String, Vec<NetworkRef>) {
    let mut networks = Vec::new();
    let rest = NETWORK.replace_all(text, |found: &regex::Captures<'_>| {
        let [kind, arguments] = found.extract().1;
        networks.push(NetworkRef::new(kind, arguments));
        ""
    });
    (rest.into_owned(), networks)
}

#[cfg(test)]
mod tests;
