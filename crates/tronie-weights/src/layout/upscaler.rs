//! Names of the networks that enlarge pictures: ESRGAN in its three spellings, and Real-ESRGAN's compact network.
//!
//! The names are facts of xinntao/ESRGAN (`RRDBNet_arch.py`), of the older victorca25/BasicSR (a `Sequential` with numbers), and of XPixelGroup/BasicSR
//! (`rrdbnet_arch.py`, `srvgg_arch.py`). Here: `conv_first`, `body.#.rdb.#.conv.#`, `conv_body`, `conv_up.#`, `conv_hr`, `conv_last`; the compact network has
//! `body.#` alone. All counts are from 0.

use std::collections::BTreeMap;

use super::Recipe;

/// What else the layers outside the blocks are called.
const LAYERS: [(&str, &str); 11] = [
    ("model.0", "conv_first"),
    ("trunk_conv", "conv_body"),
    ("HRconv", "conv_hr"),
    ("upconv1", "conv_up.0"),
    ("upconv2", "conv_up.1"),
    ("conv_up1", "conv_up.0"),
    ("conv_up2", "conv_up.1"),
    ("conv_first", "conv_first"),
    ("conv_body", "conv_body"),
    ("conv_hr", "conv_hr"),
    ("conv_last", "conv_last"),
];
/// Where the blocks are.
const BLOCKS: [&str; 3] = ["model.1.sub.", "RRDB_trunk.", "body."];
/// Some files keep the averaged weights beside others, under a name in front of theirs.
const PREFIXES: [&str; 2] = ["params_ema.", "params."];

/// The tensors of an upscaler in the names above; what has no place there is left out.
pub(crate) fn upscaler_names(names: &[String]) -> BTreeMap<String, Recipe> {
    let prefix =
        PREFIXES.into_iter().find(|prefix| names.iter().any(|name| name.starts_with(prefix))).unwrap_or("");
    let own: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix(prefix)).collect();
    let tail = Tail::of(&own);
    let canonical = |name: &str| {
        let (layer, parameter) = name.rsplit_once('.')?;
        let layer = tail.name(layer).or_else(|| block(layer)).or_else(|| listed(layer))?;
        Some((format!("{layer}.{parameter}"), Recipe::copy(&format!("{prefix}{name}"))))
    };
    own.into_iter().filter_map(canonical).collect()
}

fn listed(layer: &str) -> Option<String> {
    LAYERS.iter().find(|row| row.0 == layer).map(|row| row.1.to_owned())
}

/// `model.1.sub.3.RDB2.conv5.0`, `RRDB_trunk.3.RDB2.conv5`, `body.3.rdb2.conv5` are one; `body.3` is the compact network's.
fn block(layer: &str) -> Option<String> {
    let path = BLOCKS.iter().find_map(|prefix| layer.strip_prefix(prefix))?;
    let parts: Vec<&str> = path.split('.').collect();
    let number = |text: &str, prefix: &str| {
        text.to_lowercase().strip_prefix(prefix)?.parse::<usize>().ok()?.checked_sub(1)
    };
    match parts.as_slice() {
        [index] if layer.starts_with("body.") => Some(format!("body.{index}")),
        [index, rdb, conv] | [index, rdb, conv, "0"] => {
            Some(format!("body.{index}.rdb.{}.conv.{}", number(rdb, "rdb")?, number(conv, "conv")?))
        }
        _ => None,
    }
}

/// The numbered layers behind the blocks of the oldest spelling: any number of enlargements, then two.
struct Tail {
    /// Of `model.N`, rising.
    numbers: Vec<usize>,
    /// The layer behind the last block, `model.1.sub.N`.
    last_sub: Option<usize>,
}

impl Tail {
    fn of(names: &[&str]) -> Self {
        let after = |name: &&str, prefix: &str| -> Option<usize> {
            let rest = name.strip_prefix(prefix)?.strip_suffix(".weight")?;
            rest.parse().ok()
        };
        let mut numbers: Vec<usize> =
            names.iter().filter_map(|name| after(name, "model.")).filter(|&n| n > 1).collect();
        numbers.sort_unstable();
        Self { numbers, last_sub: names.iter().find_map(|name| after(name, "model.1.sub.")) }
    }

    fn name(&self, layer: &str) -> Option<String> {
        if let Some(sub) = layer.strip_prefix("model.1.sub.") {
            return (sub.parse().ok() == Some(self.last_sub?)).then(|| "conv_body".to_owned());
        }
        let number: usize = layer.strip_prefix("model.")?.parse().ok()?;
        let place = self.numbers.iter().position(|&n| n == number)?;
        Some(match self.numbers.len() - place {
            1 => "conv_last".to_owned(),
            2 => "conv_hr".to_owned(),
            _ => format!("conv_up.{place}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        upscaler_names(&names)
            .into_iter()
            .map(|(name, recipe)| format!("{} {name}", recipe.sources[0]))
            .collect()
    }

    #[test]
    fn three_spellings_are_one() {
        let ours = [
            "body.0.rdb.1.conv.4.bias",
            "conv_body.weight",
            "conv_first.weight",
            "conv_hr.weight",
            "conv_last.bias",
            "conv_up.0.weight",
            "conv_up.1.weight",
        ];
        let spellings: [[&str; 7]; 3] = [
            [
                "model.1.sub.0.RDB2.conv5.0.bias",
                "model.1.sub.23.weight",
                "model.0.weight",
                "model.8.weight",
                "model.10.bias",
                "model.3.weight",
                "model.6.weight",
            ],
            [
                "RRDB_trunk.0.RDB2.conv5.bias",
                "trunk_conv.weight",
                "conv_first.weight",
                "HRconv.weight",
                "conv_last.bias",
                "upconv1.weight",
                "upconv2.weight",
            ],
            [
                "body.0.rdb2.conv5.bias",
                "conv_body.weight",
                "conv_first.weight",
                "conv_hr.weight",
                "conv_last.bias",
                "conv_up1.weight",
                "conv_up2.weight",
            ],
        ];
        for theirs in spellings {
            // The last layer is told by its weight.
            let all: Vec<&str> = theirs
                .into_iter()
                .chain(["model.10.weight"].into_iter().filter(|_| theirs[2] == "model.0.weight"))
                .collect();
            let found = renamed(&all);
            for (theirs, ours) in theirs.iter().zip(ours) {
                assert!(found.contains(&format!("{theirs} {ours}")), "{theirs}: {found:?}");
            }
        }
    }

    #[test]
    fn other_scales_have_other_tails_and_prefixes_are_dropped() {
        assert_eq!(
            renamed(&["model.0.weight", "model.2.weight", "model.4.weight"]),
            [
                "model.0.weight conv_first.weight",
                "model.2.weight conv_hr.weight",
                "model.4.weight conv_last.weight"
            ]
        );
        let found = renamed(&["params_ema.conv_up1.weight", "params.conv_up1.weight"]);
        assert_eq!(found, ["params_ema.conv_up1.weight conv_up.0.weight"], "the averaged weights");
        assert_eq!(
            renamed(&["body.1.weight", "body.34.bias"]),
            ["body.1.weight body.1.weight", "body.34.bias body.34.bias"]
        );
    }
}
