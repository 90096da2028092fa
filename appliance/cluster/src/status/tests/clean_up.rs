//! CleanUp: ours goes, theirs stays.

use super::*;

fn served(patch: &Value) -> Value {
    let mut object = service(&json!({ "metadata": { "finalizers": ["example.com/theirs"] } }));
    settle(&serve(), &mut object);
    merge(&mut object, patch);
    object
}

fn deleted() -> Value {
    served(&json!({ "metadata": { "deletionTimestamp": "2026-11-21T02:59:09Z" } }))
}

#[test]
fn a_deleted_service_is_let_go_only_after_the_workers_forgot_it() {
    let mut object = deleted();
    assert_eq!(plan_at(&clean_up(true), &object, 4), []);
    let told = settle(&clean_up(true), &mut object);
    assert_eq!(told, [Reason::DeletingLoadBalancer, Reason::DeletedLoadBalancer]);
    assert_eq!(object["metadata"]["finalizers"], json!(["example.com/theirs"]));
    assert!(object["metadata"]["annotations"].get(MARK).is_none());
    assert_eq!(object["status"], json!({ "loadBalancer": {} }));
}

#[test]
fn a_deleted_service_of_our_class_is_let_go_even_if_somebody_else_put_the_finalizer() {
    let mut object = service(&json!({ "metadata": {
        "finalizers": [FINALIZER], "deletionTimestamp": "2026-11-21T02:59:09Z"
    } }));
    settle(&clean_up(true), &mut object);
    assert_eq!(object["metadata"]["finalizers"], json!([]));
}

#[test]
fn a_service_that_became_another_type_is_cleaned_by_its_mark() {
    // The API server has cleared class and ingress itself.
    let mut object = served(&json!({
        "spec": { "type": "ClusterIP", "loadBalancerClass": null },
        "status": { "loadBalancer": { "ingress": null } }
    }));
    let (patch, _) = split(&plan_at(&clean_up(false), &object, 5));
    assert_eq!(patch.unwrap().1["status"], json!({ "conditions": null }), "ingress would be a 422");
    settle(&clean_up(false), &mut object);
    assert_eq!(object["metadata"]["finalizers"], json!(["example.com/theirs"]));
    assert!(object["status"].get("conditions").is_none());
    assert_eq!(plan_at(&clean_up(false), &object, 5), []);
}

#[test]
fn ingress_that_others_wrote_survives_the_clean_up() {
    let ingress = json!([
        { "ip": "203.0.113.9", "ipMode": "VIP" }, { "hostname": "lb.example.com" }, { "ip": "8.8.8.8" }
    ]);
    let mut object = served(&json!({
        "spec": { "loadBalancerClass": null }, "status": { "loadBalancer": { "ingress": ingress } }
    }));
    settle(&clean_up(false), &mut object);
    let left = json!([{ "hostname": "lb.example.com" }, { "ip": "8.8.8.8" }]);
    assert_eq!(object["status"]["loadBalancer"]["ingress"], left);
}

#[test]
fn a_service_that_never_was_ours_is_not_touched() {
    let foreign = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "8.8.8.8" }] } } });
    let finalizer = json!({ "metadata": { "finalizers": [FINALIZER] } });
    let copied = json!({ "metadata": {
        "finalizers": [FINALIZER], "annotations": { MARK: "spillway.io/box/u0" }
    } });
    let other_box = json!({ "metadata": {
        "finalizers": [FINALIZER], "annotations": { MARK: "example.com/east/u1" }
    } });
    let theirs = json!({ "status": { "conditions": [{ "type": CONDITION, "status": "True" }] } });
    for patch in [foreign, finalizer, copied, other_box, theirs] {
        let mut object = service(&json!({ "spec": { "loadBalancerClass": null } }));
        merge(&mut object, &patch);
        assert_eq!(plan_at(&clean_up(false), &object, 5), [], "{patch}");
    }
    let object = served(&json!({ "spec": { "loadBalancerClass": "example.com/other" } }));
    assert_eq!(plan_at(&clean_up(false), &object, 5), [], "of another class now");
}

#[test]
fn a_condition_without_a_load_balancer_is_a_left_over() {
    let mut object = service(&json!({}));
    settle(&pending(), &mut object);
    merge(&mut object, &json!({ "spec": { "type": "ClusterIP", "loadBalancerClass": null } }));
    settle(&clean_up(false), &mut object);
    assert!(object["status"].get("conditions").is_none());
}
