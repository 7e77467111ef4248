//! The columns of metadata: what tables need to know, and lines of JSON do not say.

use serde_json::{Map, Value};

/// What all values of a column are; absent and null ones aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// True or false.
    Bool,
    /// A whole number of 64 bits.
    Integer,
    /// A number of 64 bits.
    Float,
    /// A text; lists and mixtures are texts of JSON.
    Text,
}

/// One column, or columns below a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Column {
    Leaf { name: String, kind: Kind },
    Group { name: String, columns: Vec<Column> },
}

/// A value in its column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Empty,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

/// What is known of a column before all rows were seen.
enum Draft {
    Unknown,
    Leaf(Kind),
    Group(Vec<(String, Draft)>),
}

/// The columns of some rows, in the order in which they occur. A column whose values are all null is a text.
pub(super) fn columns(rows: &[Map<String, Value>]) -> Vec<Column> {
    let mut drafts = Vec::new();
    for row in rows {
        see_all(&mut drafts, row);
    }
    finished(drafts)
}

fn see_all(drafts: &mut Vec<(String, Draft)>, row: &Map<String, Value>) {
    for (name, value) in row {
        let position = drafts.iter().position(|(known, _)| known == name).unwrap_or(drafts.len());
        if position == drafts.len() {
            drafts.push((name.clone(), Draft::Unknown));
        }
        if let Some((_, draft)) = drafts.get_mut(position) {
            see(draft, value);
        }
    }
}

fn see(draft: &mut Draft, value: &Value) {
    let kind = match value {
        Value::Null => return,
        Value::Object(fields) if !fields.is_empty() => {
            if let Draft::Unknown = draft {
                *draft = Draft::Group(Vec::new());
            }
            match draft {
                Draft::Group(below) => return see_all(below, fields),
                _ => Kind::Text,
            }
        }
        Value::Bool(_) => Kind::Bool,
        Value::Number(number) if number.is_i64() => Kind::Integer,
        Value::Number(number) if number.is_f64() => Kind::Float,
        _ => Kind::Text,
    };
    let merged = match draft {
        Draft::Unknown => kind,
        Draft::Leaf(known) if *known == kind => kind,
        Draft::Leaf(Kind::Integer | Kind::Float) if matches!(kind, Kind::Integer | Kind::Float) => {
            Kind::Float
        }
        Draft::Leaf(_) | Draft::Group(_) => Kind::Text,
    };
    *draft = Draft::Leaf(merged);
}

fn finished(drafts: Vec<(String, Draft)>) -> Vec<Column> {
    let column = |(name, draft)| match draft {
        Draft::Unknown => Column::Leaf { name, kind: Kind::Text },
        Draft::Leaf(kind) => Column::Leaf { name, kind },
        Draft::Group(below) => Column::Group { name, columns: finished(below) },
    };
    drafts.into_iter().map(column).collect()
}

impl Column {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Leaf { name, .. } | Self::Group { name, .. } => name,
        }
    }

    /// Names and kind of every column without columns below it, in order.
    pub(super) fn leaves(columns: &[Self]) -> Vec<(Vec<&str>, Kind)> {
        columns.iter().flat_map(Self::own_leaves).collect()
    }

    fn own_leaves(&self) -> Vec<(Vec<&str>, Kind)> {
        match self {
            Self::Leaf { name, kind } => vec![(vec![name.as_str()], *kind)],
            Self::Group { name, columns } => {
                let below = Self::leaves(columns).into_iter();
                below.map(|(path, kind)| ([vec![name.as_str()], path].concat(), kind)).collect()
            }
        }
    }
}

/// The value of a row in a column.
pub(super) fn cell(row: &Map<String, Value>, path: &[&str], kind: Kind) -> Cell {
    let Some((first, rest)) = path.split_first() else { return Cell::Empty };
    let found = rest.iter().try_fold(row.get(*first), |value, name| Some(value?.get(*name)));
    match (found.flatten(), kind) {
        (None | Some(Value::Null), _) => Cell::Empty,
        (Some(Value::Bool(value)), Kind::Bool) => Cell::Bool(*value),
        (Some(Value::Number(value)), Kind::Integer) => value.as_i64().map_or(Cell::Empty, Cell::Integer),
        (Some(Value::Number(value)), Kind::Float) => value.as_f64().map_or(Cell::Empty, Cell::Float),
        (Some(Value::String(text)), _) => Cell::Text(text.clone()),
        (Some(other), _) => Cell::Text(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(values: Value) -> Vec<Map<String, Value>> {
        serde_json::from_value(values).unwrap()
    }

    #[test]
    fn kinds_hold_every_value_of_their_column() {
        let rows = rows(json!([
            {"a": 1, "b": {"x": true, "y": null}, "c": 1, "d": [1, 2], "e": null, "f": 18446744073709551615_u64},
            {"a": 2.5, "b": {"x": false, "z": "s"}, "c": "one", "d": null, "g": {}},
        ]));
        let columns = columns(&rows);
        let leaves = Column::leaves(&columns);
        let found: Vec<(String, Kind)> = leaves.iter().map(|(path, kind)| (path.join("."), *kind)).collect();
        let expected = [
            ("a", Kind::Float),
            ("b.x", Kind::Bool),
            ("b.y", Kind::Text),
            ("b.z", Kind::Text),
            ("c", Kind::Text),
            ("d", Kind::Text),
            ("e", Kind::Text),
            ("f", Kind::Text),
            ("g", Kind::Text),
        ];
        assert_eq!(found, expected.map(|(name, kind)| (name.to_owned(), kind)));
        let cells: Vec<Cell> = leaves.iter().map(|(path, kind)| cell(&rows[0], path, *kind)).collect();
        let text = |text: &str| Cell::Text(text.to_owned());
        let first = [Cell::Float(1.0), Cell::Bool(true), Cell::Empty, Cell::Empty, text("1"), text("[1,2]")];
        assert_eq!(cells[..6], first);
        assert_eq!(cells[7], text("18446744073709551615"));
    }
}
