//! What a spec means, as JSON in one spelling, and what changed between two of them.

use serde_json::{Map, Number, Value};
use tronie_base::sha256_hex;

/// Changes named in an error; the rest is counted.
const MAX_CHANGES: usize = 8;

/// Keys sorted, whole floats as integers: `7` and `7.0` mean the same to whoever reads them.
pub(crate) fn canonical(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            let entries = entries.into_iter().map(|(key, value)| (key, canonical(value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(canonical).collect()),
        Value::Number(number) => Value::Number(whole(&number).unwrap_or(number)),
        other => other,
    }
}

fn whole(number: &Number) -> Option<Number> {
    let float = number.as_f64().filter(|_| number.is_f64())?;
    // Up to 2^53 every whole float is one integer, and its digits are those of the integer.
    let is_whole = float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0;
    let digits = is_whole.then(|| format!("{float:.0}"))?;
    digits.parse::<i64>().ok().map(Number::from)
}

/// SHA-256 of a canonical value, as hexadecimal digits.
pub(crate) fn identity(canonical: &Value) -> String {
    sha256_hex(format!("tronie dataset spec 1\n{canonical}").as_bytes())
}

/// Lines such as `attributes.age.values[0].weight: 1 became 2`.
pub(crate) fn changes(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", old, new, &mut found);
    if found.len() > MAX_CHANGES {
        let n_more = found.len() - MAX_CHANGES;
        found.truncate(MAX_CHANGES);
        found.push(format!("and {n_more} more"));
    }
    found
}

fn compare(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    match (old, new) {
        _ if old == new => {}
        (Value::Object(old), Value::Object(new)) => {
            let mut keys: Vec<_> = old.keys().chain(new.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let dot = if path.is_empty() { "" } else { "." };
                compare_at(&format!("{path}{dot}{key}"), old.get(key), new.get(key), found);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for index in 0..old.len().max(new.len()) {
                compare_at(&format!("{path}[{index}]"), old.get(index), new.get(index), found);
            }
        }
        _ => found.push(format!("{path}: {old} became {new}")),
    }
}

fn compare_at(path: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<String>) {
    match (old, new) {
        (Some(old), Some(new)) => compare(path, old, new, found),
        (Some(old), None) => found.push(format!("{path}: {old} is gone")),
        (None, Some(new)) => found.push(format!("{path}: {new} is new")),
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spelling_does_not_matter() {
        let a = canonical(json!({"b": 7.0, "a": [1, 2.5, -0.0]}));
        let b = canonical(json!({"a": [1.0, 2.5, 0], "b": 7}));
        assert_eq!(a.to_string(), b.to_string());
        assert_eq!(a.to_string(), r#"{"a":[1,2.5,0],"b":7}"#);
    }

    #[test]
    fn changes_are_named_by_their_path() {
        let old = json!({"name": "a", "rows": [{"count": 1}, {"count": 2}], "gone": true});
        let new = json!({"name": "a", "rows": [{"count": 3}], "new": null});
        let expected = [
            "gone: true is gone",
            "new: null is new",
            "rows[0].count: 1 became 3",
            "rows[1]: {\"count\":2} is gone",
        ];
        assert_eq!(changes(&old, &new), expected);
        let many = changes(&json!(vec![0; 20]), &json!(vec![1; 20]));
        assert_eq!((many.len(), many[8].as_str()), (9, "and 12 more"));
    }
}
