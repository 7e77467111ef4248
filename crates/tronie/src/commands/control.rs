//! `--control canny=face.png,model=control_v11p_sd15_canny,weight=0.8` and `--ip-adapter face.png,model=ip-adapter_sd15`: one
//! picture in one word.

use std::path::PathBuf;
use std::str::FromStr;

use serde_json::json;
use tronie_generate::{ControlUnit, ImagePrompt, Preprocessor};

/// Keys behind the picture.
const KEYS: &str = "model, weight, start, end, mode, fit, kind, low, high, factor, sigma, level";

/// Reads a unit: the picture, with what is made of it before a `=`, and `key=value` pairs behind commas.
pub(crate) fn parse_control(text: &str) -> Result<ControlUnit, String> {
    let mut parts = text.split(',');
    let first = parts.next().unwrap_or_default();
    let known = |name: &str| Preprocessor::ALL.iter().find(|row| row.0 == name).map(|row| row.1);
    let (how, image) = match first.split_once('=').and_then(|(how, image)| Some((known(how)?, image))) {
        Some(found) => found,
        None => (Preprocessor::None, first),
    };
    if image.is_empty() {
        return Err("expected an image, for example canny=face.png,model=NAME".to_owned());
    }
    let mut unit = ControlUnit { preprocessor: how, ..ControlUnit::new(PathBuf::from(image), "") };
    for part in parts {
        let (key, value) = part.split_once('=').ok_or_else(|| format!("{part}: expected KEY=VALUE"))?;
        set(&mut unit, key, value)?;
    }
    if unit.model.is_empty() {
        return Err("expected model=NAME, the ControlNet or T2I-Adapter".to_owned());
    }
    Ok(unit)
}

/// Reads a picture that is looked at: its file, and `key=value` pairs behind commas.
pub(crate) fn parse_image_prompt(text: &str) -> Result<ImagePrompt, String> {
    let mut parts = text.split(',');
    let image = parts.next().filter(|image| !image.is_empty());
    let image = image.ok_or("expected an image, for example face.png,model=ip-adapter_sd15")?;
    let mut prompt = ImagePrompt::new(PathBuf::from(image), "");
    for part in parts {
        match part.split_once('=').ok_or_else(|| format!("{part}: expected KEY=VALUE"))? {
            ("model", value) => value.clone_into(&mut prompt.model),
            ("encoder", value) => prompt.encoder = Some(value.to_owned()),
            ("weight", value) => prompt.weight = number("weight", value)?,
            ("start", value) => prompt.start = number("start", value)?,
            ("end", value) => prompt.end = number("end", value)?,
            (key, _) => {
                return Err(format!(
                    "unknown key \"{key}\", expected one of: model, encoder, weight, start, end"
                ));
            }
        }
    }
    if prompt.model.is_empty() {
        return Err("expected model=NAME, the IP-Adapter".to_owned());
    }
    Ok(prompt)
}

fn set(unit: &mut ControlUnit, key: &str, value: &str) -> Result<(), String> {
    match (key, &mut unit.preprocessor) {
        ("model", _) => value.clone_into(&mut unit.model),
        ("weight", _) => unit.weight = number(key, value)?,
        ("start", _) => unit.start = number(key, value)?,
        ("end", _) => unit.end = number(key, value)?,
        ("mode", _) => unit.mode = id(key, value)?,
        ("fit", _) => unit.fit = Some(id(key, value)?),
        ("kind", _) => unit.kind = Some(id(key, value)?),
        ("low", Preprocessor::Canny { low, .. }) => *low = number(key, value)?,
        ("high", Preprocessor::Canny { high, .. }) => *high = number(key, value)?,
        ("factor", Preprocessor::Tile { factor }) => *factor = number(key, value)?,
        ("sigma", Preprocessor::Blur { sigma_px }) => *sigma_px = number(key, value)?,
        ("level", Preprocessor::Scribble { level } | Preprocessor::Threshold { level }) => {
            *level = number(key, value)?;
        }
        ("low" | "high" | "factor" | "sigma" | "level", how) => {
            return Err(format!("{key} says nothing to {}", how.id()));
        }
        _ => return Err(format!("unknown key \"{key}\", expected one of: {KEYS}")),
    }
    Ok(())
}

fn number<T: FromStr>(key: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{key} is \"{value}\", expected a number"))
}

/// Reads an id as it is stored in images.
fn id<T: serde::de::DeserializeOwned>(key: &str, value: &str) -> Result<T, String> {
    serde_json::from_value(json!(value)).map_err(|error| format!("{key}: {error}"))
}

#[cfg(test)]
mod tests;
