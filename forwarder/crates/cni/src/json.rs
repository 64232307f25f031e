//! JSON as Go reads it, in which runtimes are written: keys in any case, `null` as if it were not there.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::failure::{Code, Failure, Result};

/// The value of a key, in whatever case that is written.
pub(crate) fn get<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    let members = object.as_object()?;
    members.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
}

/// The same with all keys in lower case, and without what is `null`.
pub(crate) fn folded(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.to_lowercase(), folded(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(folded).collect()),
        other => other.clone(),
    }
}

/// Reads what is declared with keys in lower case.
///
/// # Errors
/// [`Code::Decode`].
pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> Result<T> {
    let folded = folded(value);
    serde_json::from_value(folded.clone()).map_err(|error| {
        // The error tells a place in a text that nobody has seen: whichever key cannot be read by itself is named instead.
        let alone = |(key, value): (&String, &Value)| json!({ key: value });
        let is_it = |it: &(&String, &Value)| serde_json::from_value::<T>(alone(*it)).is_err();
        let key = folded.as_object().and_then(|members| members.iter().find(is_it));
        let key = key.map_or_else(String::new, |(key, _)| format!(", at {key}"));
        Failure::new(Code::Decode, format!("the configuration cannot be read{key}: {error}"), "correct its values")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_any_case_and_null_is_nothing() {
        let value = json!({ "HostPort": 1, "list": [{ "A": null, "bC": 2 }], "x": null });
        assert_eq!(folded(&value), json!({ "hostport": 1, "list": [{ "bc": 2 }] }));
        assert_eq!(get(&value, "hostPORT"), Some(&json!(1)));
        assert_eq!(get(&value, "hostpor"), None);
    }
}
