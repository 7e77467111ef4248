//! The spec as it is written: TOML tables, nothing checked beyond names and types.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};

use crate::curation::{
    AttemptsTable, CurationTables, DuplicatesTable, FilterTable, MeasureTable, VerifyTable,
};

/// The whole file.
#[derive(Debug, Clone, Serialize, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpecFile {
    pub(crate) name: String,
    pub(crate) version: u32,
    #[serde(default, skip_serializing)]
    pub(crate) description: String,
    pub(crate) template: String,
    #[serde(default)]
    pub(crate) negative_prompt: String,
    #[serde(default)]
    pub(crate) generation: toml::Table,
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, AttributeTable>,
    pub(crate) quota: Option<QuotaTable>,
    #[serde(default)]
    pub(crate) rows: Vec<RowTable>,
    #[serde(default)]
    pub(crate) exclude: Vec<ExcludeTable>,
    /// What the counts must add up to.
    pub(crate) total: Option<u64>,
    // What follows decides which pictures are kept, not which are made: it is no part of the spec's identity.
    #[serde(skip_serializing)]
    measure: Option<MeasureTable>,
    #[serde(default, skip_serializing)]
    filters: Vec<FilterTable>,
    #[serde(default, skip_serializing)]
    verify: BTreeMap<String, VerifyTable>,
    #[serde(skip_serializing)]
    attempts: Option<AttemptsTable>,
    #[serde(skip_serializing)]
    duplicates: Option<DuplicatesTable>,
}

impl SpecFile {
    /// The sections about curation.
    pub(crate) fn curation(&self) -> CurationTables {
        CurationTables {
            measure: self.measure.clone(),
            filters: self.filters.clone(),
            verify: self.verify.clone(),
            attempts: self.attempts.clone(),
            duplicates: self.duplicates.clone(),
        }
    }
}

/// `[attributes.<name>]`.
#[derive(Debug, Clone, Serialize, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttributeTable {
    pub(crate) values: Vec<ValueTable>,
}

/// One value: a plain string, or a table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ValueTable {
    pub(crate) id: String,
    /// What stands in the prompt; one of them is drawn for each picture. The id when empty.
    pub(crate) text: Vec<String>,
    pub(crate) weight: f64,
    /// Smallest and largest number that `{n}` in the text stands for.
    pub(crate) number: Option<(u32, u32)>,
    /// Added to the end of the prompt.
    pub(crate) extra: String,
    /// Added to the end of the negative prompt.
    pub(crate) negative: String,
    /// Attribute → values with which this value may occur.
    pub(crate) only_if: BTreeMap<String, Vec<String>>,
}

/// `[quota]`: the product of some attributes.
#[derive(Debug, Clone, Serialize, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuotaTable {
    pub(crate) by: Vec<String>,
    pub(crate) per_cell: u64,
}

/// `[[rows]]`: fixed values, repeated for each value of some attributes.
#[derive(Debug, Clone, Serialize, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowTable {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) group: String,
    #[serde(default)]
    pub(crate) set: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) for_each: Vec<String>,
    pub(crate) count: u64,
}

/// `[[exclude]]`: cells that are not made.
#[derive(Debug, Clone, Serialize, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExcludeTable {
    pub(crate) when: BTreeMap<String, String>,
    #[serde(skip_serializing)]
    pub(crate) reason: String,
}

impl ValueTable {
    fn plain(id: String) -> Self {
        Self {
            id,
            text: Vec::new(),
            weight: 1.0,
            number: None,
            extra: String::new(),
            negative: String::new(),
            only_if: BTreeMap::new(),
        }
    }
}

/// A value in full.
#[derive(DeriveDeserialize)]
#[serde(deny_unknown_fields)]
struct FullValue {
    id: String,
    #[serde(default)]
    text: OneOrMany,
    #[serde(default = "one")]
    weight: f64,
    number: Option<(u32, u32)>,
    #[serde(default)]
    extra: String,
    #[serde(default)]
    negative: String,
    #[serde(default)]
    only_if: BTreeMap<String, OneOrMany>,
}

fn one() -> f64 {
    1.0
}

impl From<FullValue> for ValueTable {
    fn from(full: FullValue) -> Self {
        Self {
            id: full.id,
            text: full.text.0,
            weight: full.weight,
            number: full.number,
            extra: full.extra,
            negative: full.negative,
            only_if: full.only_if.into_iter().map(|(name, values)| (name, values.0)).collect(),
        }
    }
}

/// A string, or a list of them.
#[derive(Default)]
struct OneOrMany(Vec<String>);

/// Accepts a string as one form and `T`'s map or sequence as the other; unlike an untagged enum it keeps the
/// message, and with it the name of the wrong key, of whichever form was meant.
struct StringOr<T, M> {
    expected: &'static str,
    from_string: fn(String) -> T,
    map: PhantomData<M>,
}

impl<'de, T, M> Visitor<'de> for StringOr<T, M>
where
    T: From<M>,
    M: Deserialize<'de>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        Ok((self.from_string)(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        M::deserialize(MapAccessDeserializer::new(map)).map(T::from)
    }
}

impl<'de> Deserialize<'de> for ValueTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StringOr::<Self, FullValue> {
            expected: "a string or a table with an id",
            from_string: Self::plain,
            map: PhantomData,
        })
    }
}

struct Strings;

impl<'de> Visitor<'de> for Strings {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
        Ok(OneOrMany(vec![text.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = seq.next_element()? {
            texts.push(text);
        }
        Ok(OneOrMany(texts))
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Strings)
    }
}
