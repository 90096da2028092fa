//! Small steps over JSON values: read by path, write by path, drop what Go's encoder would.

use serde_json::{Map, Value};

/// The string at `path`.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(value, path).and_then(Value::as_str)
}

/// The value at `path`.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| value.get(step))
}

/// The value at `path` for changing, if it is there.
pub(crate) fn at_mut<'a>(value: &'a mut Value, path: &[&str]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, step| value.get_mut(step))
}

/// The list at `path`; empty when there is none.
pub(crate) fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Puts `new` at `path`; whatever is no object on the way becomes one.
pub(crate) fn set(value: &mut Value, path: &[&str], new: Value) {
    let Some((first, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    let map = object_mut(value);
    if rest.is_empty() {
        map.insert((*first).into(), new);
    } else {
        set(map.entry(*first).or_insert_with(|| Value::Object(Map::new())), rest, new);
    }
}

/// Puts `new` at `path` unless something is there already.
pub(crate) fn default(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    if at(value, path).is_none() {
        set(value, path, new.into());
    }
}

/// Takes out what is at `path`.
pub(crate) fn remove(value: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, way) = path.split_last()?;
    at_mut(value, way)?.as_object_mut()?.remove(*last)
}

/// Moves what is at `path` of `from` to `to`, or takes it out there.
pub(crate) fn copy(from: &Value, to: &mut Value, path: &[&str]) {
    match at(from, path) {
        Some(found) => set(to, path, found.clone()),
        None => {
            remove(to, path);
        }
    }
}

/// The value as an object; it becomes one if it is none.
pub(crate) fn object_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            unreachable!("it was made an object above")
        }
    }
}

/// Drops every null member of an object, all the way down: Go's decoder does not see them.
pub(crate) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, member| !member.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Drops members that are empty lists, objects or strings: what `omitempty` leaves out.
pub(crate) fn drop_empty_members(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, member| match member {
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
            Value::String(text) => !text.is_empty(),
            Value::Null => false,
            Value::Bool(_) | Value::Number(_) => true,
        });
    }
}
