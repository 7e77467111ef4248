//! What each image is: a pure function of the spec and the index.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use tronie_base::derive_seed;

use crate::SpecError;
use crate::candidate::Candidate;
use crate::cells::Cell;
use crate::file::{SpecFile, ValueTable};
use crate::spec::{Spec, check_reference, conditions, find_value, list};
use crate::template::tidy;

/// One image to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Position in the dataset, from 0.
    pub index: u64,
    /// Which attempt to fill that position, from 0; always 0 without curation.
    pub attempt: u32,
    /// Name of its cell.
    pub cell: String,
    /// Attribute → value, those of the cell and those drawn.
    pub attributes: BTreeMap<String, String>,
    /// Attribute → number that was drawn, for values with a range.
    pub numbers: BTreeMap<String, u32>,
    /// The prompt.
    pub prompt: String,
    /// The negative prompt.
    pub negative_prompt: String,
    /// `derive_seed(identity of the spec, index)`, for later attempts with the attempt in the namespace: 32 bits, so that in sets of tens of thousands two images may
    /// share one; their prompts then usually differ.
    pub seed: u64,
    /// Name below the dataset's folder.
    pub file_name: String,
}

/// The cell of every index: the j-th of a cell's c images stands at (j + 1/2) / c of the whole, so that every
/// prefix has of each cell what it should have, to within one or two.
pub(crate) fn interleave(cells: &[Cell]) -> Vec<u32> {
    let mut next: BinaryHeap<_> =
        (0_u32..).zip(cells).map(|(number, cell)| Reverse(Slot::first(number, cell.count))).collect();
    let mut order = Vec::new();
    while let Some(Reverse(slot)) = next.pop() {
        order.push(slot.number);
        next.extend(slot.following().map(Reverse));
    }
    order
}

/// Where in the whole the next image of a cell stands: `odd / (2 * count)`.
#[derive(Debug, PartialEq, Eq)]
struct Slot {
    odd: u64,
    count: u64,
    number: u32,
}

impl Slot {
    fn first(number: u32, count: u64) -> Self {
        Self { odd: 1, count, number }
    }

    fn following(&self) -> Option<Self> {
        let odd = self.odd + 2;
        (odd < 2 * self.count).then_some(Self { odd, ..*self })
    }
}

impl Ord for Slot {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Both counts are at most 10^7, so the products fit.
        let position = (self.odd * other.count).cmp(&(other.odd * self.count));
        // Neighbouring cells share most of their values: taking turns in bit-reversed order (van der Corput) spreads
        // every attribute over the prefix, not only the cells.
        let turn = self.number.reverse_bits().cmp(&other.number.reverse_bits());
        position.then(turn)
    }
}

impl PartialOrd for Slot {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

pub(crate) fn item(spec: &Spec, Candidate { slot: index, attempt }: Candidate) -> Option<Item> {
    let cell = spec.cell_of(index)?;
    let namespace = match attempt {
        0 => spec.identity().to_owned(),
        _ => format!("{}/attempt {attempt}", spec.identity()),
    };
    let draws = Draws { namespace: &namespace, index };
    let attributes = draw_all(&spec.file, cell, &draws)?;
    let mut texts = BTreeMap::new();
    let mut numbers = BTreeMap::new();
    let mut extra = String::new();
    let mut negative = String::new();
    for (name, id) in &attributes {
        let value = spec.value(name, id)?;
        let (text, number) = draws.text(name, value);
        texts.insert(name.as_str(), text);
        numbers.extend(number.map(|number| (name.clone(), number)));
        extra = format!("{extra}, {}", value.extra);
        negative = format!("{negative}, {}", value.negative);
    }
    let text_of = |slot: &str| texts.get(slot).map_or("", String::as_str);
    Some(Item {
        index,
        attempt,
        cell: cell.name.clone(),
        prompt: tidy(&format!("{}{extra}", spec.template.fill(text_of))),
        negative_prompt: tidy(&format!("{}{negative}", spec.negative.fill(text_of))),
        attributes,
        numbers,
        seed: derive_seed(&namespace, index),
        file_name: spec.file_name(index),
    })
}

/// The values of the cell, then of attributes without conditions, then of those that depend on them.
fn draw_all(file: &SpecFile, cell: &Cell, draws: &Draws<'_>) -> Option<BTreeMap<String, String>> {
    let mut drawn = cell.values.clone();
    for is_conditional in [false, true] {
        for (name, table) in &file.attributes {
            if has_conditions(&table.values) != is_conditional || drawn.contains_key(name) {
                continue;
            }
            let possible: Vec<_> = table.values.iter().filter(|value| is_possible(value, &drawn)).collect();
            let id = draws.value(name, &possible)?;
            drawn.insert(name.clone(), id.to_owned());
        }
    }
    Some(drawn)
}

fn has_conditions(values: &[ValueTable]) -> bool {
    values.iter().any(|value| !value.only_if.is_empty())
}

/// Whether a value can be drawn beside those already there.
fn is_possible(value: &ValueTable, drawn: &BTreeMap<String, String>) -> bool {
    let mut conditions = value.only_if.iter();
    value.weight > 0.0 && conditions.all(|(on, ids)| drawn.get(on).is_some_and(|id| ids.contains(id)))
}

/// The random numbers of one image, each from its own name.
struct Draws<'a> {
    /// The spec's identity, and the attempt.
    namespace: &'a str,
    index: u64,
}

impl Draws<'_> {
    /// 32 random bits that depend on the spec, the index, the attribute and the purpose.
    fn bits(&self, attribute: &str, purpose: &str) -> u64 {
        derive_seed(&format!("{}/{attribute}/{purpose}", self.namespace), self.index)
    }

    /// A number in 0..n: the 32 bits as a fraction, times n.
    fn below(&self, n: u64, attribute: &str, purpose: &str) -> u64 {
        (self.bits(attribute, purpose) * n) >> 32
    }

    fn value<'v>(&self, attribute: &str, possible: &[&'v ValueTable]) -> Option<&'v str> {
        let total: f64 = possible.iter().map(|value| value.weight).sum();
        // 32 bits fit in the 53 of an f64.
        #[expect(clippy::cast_precision_loss, reason = "32 bits are exact in an f64")]
        let mut rest = self.bits(attribute, "value") as f64 / 4_294_967_296.0 * total;
        for value in possible {
            if rest < value.weight {
                return Some(&value.id);
            }
            rest -= value.weight;
        }
        // Rounding can leave a crumb behind the last one.
        possible.last().map(|value| value.id.as_str())
    }

    /// The text of a value and the number in it.
    fn text(&self, attribute: &str, value: &ValueTable) -> (String, Option<u32>) {
        let n_texts = value.text.len() as u64;
        let which = usize::try_from(self.below(n_texts, attribute, "text")).unwrap_or(0);
        let text = value.text.get(which).map(String::as_str);
        let Some((smallest, largest)) = value.number else {
            return (text.unwrap_or(&value.id).to_owned(), None);
        };
        let n_numbers = u64::from(largest - smallest) + 1;
        let number = u64::from(smallest) + self.below(n_numbers, attribute, "number");
        let filled = text.unwrap_or("{n}").replace("{n}", &number.to_string());
        (filled, u32::try_from(number).ok())
    }
}

/// Conditions name attributes and values that exist, and only attributes without conditions of their own.
pub(crate) fn check_conditions(file: &SpecFile) -> Result<(), SpecError> {
    for (name, table) in &file.attributes {
        let conditions = table.values.iter().flat_map(|value| &value.only_if);
        for (on, ids) in conditions {
            let place = format!("attribute \"{name}\"");
            for id in ids {
                check_reference(file, &place, on, Some(id))?;
            }
            check_reference(file, &place, on, None)?;
            let depended_on = file.attributes.get(on).map(|table| table.values.as_slice());
            if has_conditions(depended_on.unwrap_or_default()) {
                return Err(SpecError::ChainedCondition { attribute: name.clone(), on: on.clone() });
            }
        }
    }
    Ok(())
}

/// In every cell every attribute has something to draw, whatever was drawn before, and fixed values meet their
/// conditions.
pub(crate) fn check_draws(file: &SpecFile, cells: &[Cell]) -> Result<(), SpecError> {
    for cell in cells {
        for (attribute, id) in &cell.values {
            let value = find_value(file, attribute, id);
            check_fixed(cell, attribute, value)?;
        }
        for (attribute, table) in &file.attributes {
            if !cell.values.contains_key(attribute) {
                check_drawn(file, cell, (attribute, &table.values))?;
            }
        }
    }
    Ok(())
}

fn check_fixed(cell: &Cell, attribute: &str, value: Option<&ValueTable>) -> Result<(), SpecError> {
    let Some(value) = value else { return Ok(()) };
    for (on, ids) in &value.only_if {
        let found = cell.values.get(on);
        if !found.is_some_and(|id| ids.contains(id)) {
            return Err(SpecError::ConditionNotMet {
                cell: cell.name.clone(),
                value: format!("\"{}\" of \"{attribute}\"", value.id),
                on: on.clone(),
                expected: list(ids.iter().map(String::as_str)),
                found: found.map_or("drawn".to_owned(), |id| format!("\"{id}\"")),
            });
        }
    }
    Ok(())
}

fn check_drawn(
    file: &SpecFile,
    cell: &Cell,
    (attribute, values): (&str, &[ValueTable]),
) -> Result<(), SpecError> {
    let mut combinations = vec![BTreeMap::new()];
    let depended_on: BTreeMap<_, ()> =
        values.iter().flat_map(|value| value.only_if.keys()).map(|on| (on, ())).collect();
    for on in depended_on.keys() {
        let fixed = cell.values.get(*on).map(|id| vec![id.as_str()]);
        let table = file.attributes.get(*on).map(|table| table.values.as_slice());
        let drawn = table.unwrap_or_default().iter().filter(|value| value.weight > 0.0);
        let ids = fixed.unwrap_or_else(|| drawn.map(|value| value.id.as_str()).collect());
        combinations = combinations
            .iter()
            .flat_map(|before: &BTreeMap<String, String>| {
                ids.iter().map(|id| {
                    let mut with = before.clone();
                    with.insert((*on).clone(), (*id).to_owned());
                    with
                })
            })
            .collect();
    }
    let stuck = combinations.iter().find(|drawn| !values.iter().any(|value| is_possible(value, drawn)));
    match stuck {
        Some(drawn) => Err(SpecError::NoValueLeft {
            cell: cell.name.clone(),
            attribute: attribute.to_owned(),
            with: if drawn.is_empty() { String::new() } else { format!(" with {}", conditions(drawn)) },
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
