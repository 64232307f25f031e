//! JSON as runtimes write it, of which most are written in Go: keys in any case, `null` as if it were not there.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// The value of a key, in whatever case that is written.
#[must_use]
pub fn get<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    let members = object.as_object()?;
    members.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
}

/// The same with all keys in lower case, and without what is `null`.
#[must_use]
pub fn folded(value: &Value) -> Value {
    mapped(value, &str::to_lowercase)
}

/// The same without what is `null`.
#[must_use]
pub fn without_null(value: &Value) -> Value {
    mapped(value, &str::to_owned)
}

fn mapped(value: &Value, key_of: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, value)| !value.is_null());
            let kept = kept.map(|(key, value)| (key_of(key), mapped(value, key_of)));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| mapped(item, key_of)).collect()),
        other => other.clone(),
    }
}

/// Reads what is declared with such keys.
///
/// # Errors
/// Why it cannot be read, in words, with the key.
pub fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    let kept = value.clone();
    serde_json::from_value(value).map_err(|error| {
        // The error tells a place in a text that nobody has seen: whichever key cannot be read by itself is named instead.
        let alone = |(key, value): (&String, &Value)| json!({ key: value });
        let is_it = |it: &(&String, &Value)| {
            let missing = |error: &serde_json::Error| error.to_string().contains("missing field");
            serde_json::from_value::<T>(alone(*it)).is_err_and(|error| !missing(&error))
        };
        let key = kept.as_object().and_then(|members| members.iter().find(is_it));
        let key = key.map_or_else(String::new, |(key, _)| format!(", at {key}"));
        format!("cannot be read{key}: {error}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_any_case_and_null_is_nothing() {
        let value = json!({ "HostPort": 1, "list": [{ "A": null, "bC": 2 }], "x": null });
        assert_eq!(folded(&value), json!({ "hostport": 1, "list": [{ "bc": 2 }] }));
        assert_eq!(without_null(&value), json!({ "HostPort": 1, "list": [{ "bC": 2 }] }));
        assert_eq!(get(&value, "hostPORT"), Some(&json!(1)));
        assert_eq!(get(&value, "hostpor"), None);
    }
}
