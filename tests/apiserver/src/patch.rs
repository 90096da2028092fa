//! The four kinds of PATCH.
//!
//! Merge patch is RFC 7386, JSON patch RFC 6902. Strategic merge knows the lists of the kinds that
//! this server has by their merge keys; all other lists are replaced, as the API types say.
//! Server-side apply is the same merge: who owns which field is not tracked.

use serde_json::{Map, Value};

use crate::json;
use crate::status::Status;

/// How a patch is to be read.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Format {
    Merge,
    Json,
    Strategic,
    Apply,
}

impl Format {
    /// By the request's Content-Type.
    pub fn of(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/merge-patch+json" => Some(Self::Merge),
            "application/json-patch+json" => Some(Self::Json),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        }
    }
}

/// `object` with the patch applied.
pub fn apply(format: Format, object: &Value, patch: &Value) -> Result<Value, Status> {
    let mut patched = object.clone();
    match format {
        Format::Merge => json_patch::merge(&mut patched, patch),
        Format::Json => {
            let operations: json_patch::Patch = serde_json::from_value(patch.clone())
                .map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
            json_patch::patch(&mut patched, &operations).map_err(|e| Status {
                code: 422,
                reason: "Invalid".into(),
                ..Status::bad_request(format!(
                    "the server rejected our request due to an error in our request: {e}"
                ))
            })?;
        }
        Format::Strategic | Format::Apply => strategic(&mut patched, patch, &[]),
    }
    Ok(patched)
}

/// The merge key of the list at that path, for lists that are merged and not replaced.
///
/// From the `patchMergeKey` tags of the API types. An empty key: a set of plain values.
fn merge_key(path: &[&str]) -> Option<&'static str> {
    match path {
        ["spec", "ports"] => Some("port"),
        ["status", "conditions" | "addresses"] => Some("type"),
        ["metadata", "finalizers"] | ["spec", "podCIDRs"] => Some(""),
        ["metadata", "ownerReferences"] => Some("uid"),
        ["spec", "taints"] => Some("key"),
        ["spec", "containers"] | ["secrets"] => Some("name"),
        _ => None,
    }
}

fn strategic(target: &mut Value, patch: &Value, path: &[&str]) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if members.get("$patch").and_then(Value::as_str) == Some("replace") {
        *target = Value::Object(without_directives(members));
        return;
    }
    let map = json::object_mut(target);
    for (name, new) in members {
        let here: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        if let Some(listed) = name.strip_prefix("$deleteFromPrimitiveList/") {
            if let Some(Value::Array(items)) = map.get_mut(listed) {
                items.retain(|item| !json::list(patch, &[name]).contains(item));
            }
        } else if let Some(keys) = name.strip_prefix("$retainKeys") {
            debug_assert!(keys.is_empty(), "one directive of that name");
            let kept = json::list(patch, &[name]);
            map.retain(|member, _| kept.iter().any(|key| key.as_str() == Some(member)));
        } else if name.starts_with('$') {
            // `$setElementOrder/ports`: the order of a merged list says nothing to this server.
        } else if new.is_null() {
            map.remove(name);
        } else if let Some((key, items)) = merge_key(&here).zip(new.as_array()) {
            merge_list(
                map.entry(name).or_insert_with(|| Value::Array(Vec::new())),
                items,
                key,
                &here,
            );
        } else if new.is_object() {
            strategic(map.entry(name).or_insert_with(|| Value::Object(Map::new())), new, &here);
        } else {
            map.insert(name.clone(), new.clone());
        }
    }
}

fn merge_list(target: &mut Value, patch: &[Value], key: &str, path: &[&str]) {
    if !target.is_array() {
        *target = Value::Array(Vec::new());
    }
    let Value::Array(items) = target else { return };
    if patch.iter().any(|item| json::text(item, &["$patch"]) == Some("replace")) {
        items.clear();
    }
    for new in patch {
        let same = |item: &Value| {
            if key.is_empty() { item == new } else { is_same_item(item, new, key) }
        };
        let is_delete = json::text(new, &["$patch"]) == Some("delete");
        if json::text(new, &["$patch"]) == Some("replace") {
            continue;
        }
        match items.iter_mut().find(|item| same(item)) {
            Some(_) if is_delete => items.retain(|item| !same(item)),
            Some(item) => strategic(item, new, path),
            None if is_delete => {}
            None => items.push(new.clone()),
        }
    }
}

/// Same merge key; for ports also the same protocol, where the patch names one, so that TCP and
/// UDP on one number stay two (the known trap of kubernetes/kubernetes#39188, not repeated here).
fn is_same_item(item: &Value, new: &Value, key: &str) -> bool {
    let protocol = |value: &Value| json::text(value, &["protocol"]).unwrap_or("TCP").to_owned();
    item.get(key) == new.get(key) && (key != "port" || protocol(item) == protocol(new))
}

fn without_directives(members: &Map<String, Value>) -> Map<String, Value> {
    members
        .iter()
        .filter(|(name, _)| !name.starts_with('$'))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_takes_nulls_out_and_replaces_lists() {
        let object = json!({"a": 1, "b": {"c": 2, "d": 3}, "l": [1, 2]});
        let patch = json!({"a": null, "b": {"d": 4}, "l": [3]});
        let patched = apply(Format::Merge, &object, &patch).unwrap();
        assert_eq!(patched, json!({"b": {"c": 2, "d": 4}, "l": [3]}));
    }

    #[test]
    fn a_json_patch_whose_test_fails_is_refused_and_changes_nothing() {
        let object = json!({"a": 1});
        let patch =
            json!([{"op": "test", "path": "/a", "value": 2}, {"op": "remove", "path": "/a"}]);
        assert_eq!(apply(Format::Json, &object, &patch).unwrap_err().code, 422);
        let patch =
            json!([{"op": "test", "path": "/a", "value": 1}, {"op": "remove", "path": "/a"}]);
        assert_eq!(apply(Format::Json, &object, &patch).unwrap(), json!({}));
    }

    #[test]
    fn a_strategic_patch_merges_ports_by_number_and_protocol() {
        let object = json!({"spec": {"ports": [
            {"port": 53, "protocol": "UDP", "targetPort": 1},
            {"port": 53, "protocol": "TCP", "targetPort": 1},
            {"port": 80, "protocol": "TCP"}]}});
        let patch = json!({"spec": {
            "$setElementOrder/ports": [{"port": 53}],
            "ports": [{"port": 53, "protocol": "UDP", "targetPort": 2}, {"port": 80, "$patch": "delete"}]}});
        let patched = apply(Format::Strategic, &object, &patch).unwrap();
        assert_eq!(
            patched["spec"]["ports"],
            json!([
            {"port": 53, "protocol": "UDP", "targetPort": 2},
            {"port": 53, "protocol": "TCP", "targetPort": 1}])
        );
    }

    #[test]
    fn a_strategic_patch_treats_finalizers_as_a_set_and_ingress_as_one_value() {
        let object = json!({"metadata": {"finalizers": ["a", "b"]},
            "status": {"loadBalancer": {"ingress": [{"ip": "1"}]}}});
        let patch = json!({"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]},
            "status": {"loadBalancer": {"ingress": [{"ip": "2"}]}}});
        let patched = apply(Format::Strategic, &object, &patch).unwrap();
        assert_eq!(
            patched,
            json!({"metadata": {"finalizers": ["b", "c"]},
            "status": {"loadBalancer": {"ingress": [{"ip": "2"}]}}})
        );
    }
}
