use serde_json::{Value, json};

use super::*;

fn key(text: &str) -> ObjectKey {
    let (namespace, name) = text.split_once('/').unwrap_or(("", text));
    ObjectKey { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn meta(text: &str, version: u32) -> Value {
    let key = key(text);
    json!({ "namespace": key.namespace, "name": key.name, "resourceVersion": version.to_string() })
}

fn service(text: &str, version: u32) -> Object {
    Object::parse(Kind::Service, &json!({ "metadata": meta(text, version) })).unwrap()
}

fn slice(text: &str, of: &str, version: u32) -> Object {
    let mut meta = meta(text, version);
    meta["labels"] = json!({ "kubernetes.io/service-name": of });
    Object::parse(Kind::EndpointSlice, &json!({ "metadata": meta })).unwrap()
}

fn names(index: &Index, of: &str) -> Vec<String> {
    index.slices_of(&key(of)).map(|slice| slice.meta.name.clone()).collect()
}

#[test]
fn a_replace_replaces() {
    let mut index = Index::new();
    index.apply(Change::Upsert(service("a/one", 1)));
    index.apply(Change::Upsert(service("a/two", 1)));
    index.apply(Change::Upsert(slice("a/one-x", "one", 1)));
    index.take_dirty();
    index.apply(Change::Replace {
        kind: Kind::Service,
        objects: vec![service("a/two", 2), service("a/three", 3)],
    });
    let left: Vec<ObjectKey> = index.services().map(|it| it.meta.key()).collect();
    assert_eq!(left, [key("a/three"), key("a/two")]);
    assert_eq!(names(&index, "a/one"), ["one-x"], "other kinds stay");
    let dirty = index.take_dirty();
    assert_eq!(dirty.services, [key("a/one"), key("a/three")].into(), "two says what it said");
}

#[test]
fn a_slice_whose_label_moves_touches_both_services() {
    let mut index = Index::new();
    index.apply(Change::Upsert(slice("a/s", "one", 1)));
    index.take_dirty();
    index.apply(Change::Upsert(slice("a/s", "two", 2)));
    assert_eq!(index.take_dirty().endpoints, [key("a/one"), key("a/two")].into());
    assert!(names(&index, "a/one").is_empty());
    assert_eq!(names(&index, "a/two"), ["s"]);
}

#[test]
fn a_slice_belongs_to_no_service_of_another_namespace() {
    let mut index = Index::new();
    index.apply(Change::Upsert(slice("b/s", "one", 1)));
    assert!(names(&index, "a/one").is_empty());
    assert_eq!(names(&index, "b/one"), ["s"]);
}

#[test]
fn an_update_that_says_nothing_new_touches_nothing() {
    let mut index = Index::new();
    index.apply(Change::Upsert(service("a/one", 1)));
    index.apply(Change::Upsert(slice("a/s", "one", 1)));
    index.take_dirty();
    index.apply(Change::Upsert(service("a/one", 2)));
    index.apply(Change::Upsert(slice("a/s", "one", 2)));
    assert!(index.take_dirty().is_clean());
    assert_eq!(index.service(&key("a/one")).unwrap().meta.resource_version, "2");
}

#[test]
fn what_became_unreadable_is_served_no_longer_and_comes_back_when_mended() {
    let mut index = Index::new();
    index.apply(Change::Upsert(service("a/one", 1)));
    let bad = json!({ "metadata": { "name": "one", "namespace": "a" }, "spec": 7 });
    index.apply(Change::Upsert(Object::parse(Kind::Service, &bad).unwrap()));
    assert!(index.service(&key("a/one")).is_none());
    assert_eq!(index.unreadable().count(), 1);
    assert_eq!(index.count(Kind::Service), 1);
    index.apply(Change::Upsert(service("a/one", 3)));
    assert!(index.service(&key("a/one")).is_some());
    assert_eq!(index.unreadable().count(), 0);
}

#[test]
fn a_delete_takes_readable_and_unreadable_alike() {
    let mut index = Index::new();
    index.apply(Change::Upsert(service("a/one", 1)));
    index.apply(Change::Upsert(Object::Unreadable {
        kind: Kind::Service,
        key: key("a/two"),
        reason: "so".to_owned(),
    }));
    for name in ["a/one", "a/two", "a/never"] {
        index.apply(Change::Delete { kind: Kind::Service, key: key(name) });
    }
    assert_eq!(index.objects().count(), 0);
}

#[test]
fn a_copy_made_of_the_objects_is_equal() {
    let mut index = Index::new();
    index.apply(Change::Upsert(service("a/one", 1)));
    index.apply(Change::Upsert(slice("a/s", "one", 1)));
    let node = json!({ "metadata": { "name": "n" }, "status": { "addresses": null } });
    index.apply(Change::Upsert(Object::parse(Kind::Node, &node).unwrap()));
    let bad = json!({ "metadata": { "name": "bad", "namespace": "a" }, "spec": 7 });
    index.apply(Change::Upsert(Object::parse(Kind::Service, &bad).unwrap()));
    let mut copy = Index::new();
    for object in index.objects() {
        let read = Object::parse(object.kind(), &object.to_json()).unwrap();
        assert_eq!(read, object);
        copy.apply(Change::Upsert(read));
    }
    assert!(copy.objects().eq(index.objects()));
}

#[test]
fn only_an_object_without_a_name_is_no_object() {
    for bad in [
        json!(null),
        json!([]),
        json!({}),
        json!({ "metadata": null }),
        json!({ "metadata": { "name": 7 } }),
    ] {
        for kind in Kind::ALL {
            assert!(Object::parse(kind, &bad).is_err(), "{bad}");
        }
    }
}
