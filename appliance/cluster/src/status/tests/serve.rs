//! Serve and Pending.

use super::*;

fn served() -> Value {
    let mut object = service(&json!({}));
    settle(&serve(), &mut object);
    object
}

#[test]
fn a_new_service_gets_finalizer_ingress_and_condition_in_that_order() {
    let mut object = service(&json!({ "metadata": { "finalizers": ["example.com/theirs"] } }));
    let (first, _) = split(&plan_at(&serve(), &object, 5));
    let (is_status, body) = first.unwrap();
    assert!(!is_status);
    assert_eq!(body["metadata"]["finalizers"], json!(["example.com/theirs", FINALIZER]));
    let told = settle(&serve(), &mut object);
    assert_eq!(told, [Reason::EnsuringLoadBalancer, Reason::EnsuredLoadBalancer]);
    assert_eq!(object["metadata"]["annotations"][MARK], "spillway.io/box/u1");
    let expected = json!([{
        "ip": "203.0.113.9", "ipMode": "Proxy", "ports": [{ "port": 80, "protocol": "TCP" }]
    }]);
    assert_eq!(object["status"]["loadBalancer"]["ingress"], expected);
    let expected = json!([{
        "type": CONDITION, "status": "True", "lastTransitionTime": NOW,
        "reason": "Serving", "message": "served on 203.0.113.9"
    }]);
    assert_eq!(object["status"]["conditions"], expected);
}

#[test]
fn nothing_is_promised_before_every_worker_has_the_generation() {
    let mut object = service(&json!({}));
    let (guard, _) = split(&plan_at(&serve(), &object, 4));
    let (is_status, body) = guard.unwrap();
    assert!(!is_status, "the finalizer need not wait");
    merge(&mut object, &body);
    assert_eq!(plan_at(&serve(), &object, 4), []);
    assert!(split(&plan_at(&serve(), &object, 5)).0.unwrap().0);
}

#[test]
fn nothing_is_written_when_the_object_says_so_already() {
    let mut object = served();
    assert_eq!(plan_at(&serve(), &object, 5), []);
    // What another server or client may write differently.
    object["status"]["conditions"][0]["lastTransitionTime"] = json!("2026-11-21T10:00:00Z");
    assert_eq!(plan_at(&serve(), &object, 5), []);
}

#[test]
fn an_absent_ip_mode_means_vip_and_an_address_may_be_spelled_otherwise() {
    let v6 =
        |text: &str| Ingress { ip: text.parse().unwrap(), ip_mode: IpMode::Vip, ports: Vec::new() };
    let one = [super::ingress::written(&v6("2001:db8::1"))];
    let mut other = one.clone();
    other[0].ip = Some("2001:DB8:0::1".to_owned());
    other[0].ip_mode = None;
    assert!(super::ingress::same(&one, &other));
    other[0].ip_mode = Some("Proxy".to_owned());
    assert!(!super::ingress::same(&one, &other));
}

#[test]
fn conditions_of_others_are_kept_and_the_transition_time_moves_with_the_status_only() {
    let theirs = json!({
        "type": "example.com/Programmed", "status": "True", "observedGeneration": 1,
        "lastTransitionTime": "2026-11-21T02:59:05Z", "reason": "Ok", "message": ""
    });
    let mut object = service(&json!({ "status": { "conditions": [theirs] } }));
    settle(&pending(), &mut object);
    assert_eq!(object["status"]["conditions"][0], theirs);
    object["status"]["conditions"][1]["lastTransitionTime"] = json!("2026-11-21T03:00:00Z");
    let other = intent(IntentState::Pending {
        reason: PendingReason::AddressConflict,
        message: "taken".to_owned(),
    });
    assert_eq!(settle(&other, &mut object), [Reason::AddressConflict]);
    assert_eq!(object["status"]["conditions"][1]["reason"], "AddressConflict");
    assert_eq!(
        object["status"]["conditions"][1]["lastTransitionTime"], "2026-11-21T03:00:00Z",
        "False stayed False"
    );
    settle(&serve(), &mut object);
    assert_eq!(object["status"]["conditions"][1]["lastTransitionTime"], NOW);
    assert_eq!(object["status"]["conditions"][0], theirs);
}

#[test]
fn another_address_is_an_update_and_a_pending_service_loses_its_ingress() {
    let mut object = served();
    let mut moved = serve();
    let IntentState::Serve { ingress, .. } = &mut moved.state else { unreachable!() };
    ingress[0].ip = "203.0.113.10".parse().unwrap();
    assert_eq!(settle(&moved, &mut object), [Reason::UpdatedLoadBalancer]);
    assert_eq!(settle(&pending(), &mut object), [Reason::SyncLoadBalancerFailed]);
    assert_eq!(object["status"]["loadBalancer"], json!({}));
    assert_eq!(object["status"]["conditions"][0]["message"], "no address is free");
    assert_eq!(plan_at(&pending(), &object, 5), []);
    assert_eq!(settle(&serve(), &mut object), [Reason::EnsuredLoadBalancer]);
}

#[test]
fn a_pending_service_keeps_what_others_wrote() {
    let ingress = json!([{ "hostname": "lb.example.com" }, { "ip": "8.8.8.8", "ipMode": "VIP" }]);
    let mut object = service(&json!({ "status": { "loadBalancer": { "ingress": ingress } } }));
    settle(&pending(), &mut object);
    assert_eq!(object["status"]["loadBalancer"]["ingress"], ingress);
}

#[test]
fn a_port_that_is_not_served_says_why_in_the_form_that_the_api_wants() {
    let mut partly = serve();
    let IntentState::Serve { ingress, .. } = &mut partly.state else { unreachable!() };
    ingress[0].ports.push(port(132, Transport::Sctp, Some(PortError::SctpNotServed)));
    let mut object = service(&json!({}));
    settle(&partly, &mut object);
    let ports = &object["status"]["loadBalancer"]["ingress"][0]["ports"];
    let expected = json!({ "port": 132, "protocol": "SCTP", "error": "spillway.io/SctpNotServed" });
    assert_eq!(ports[1], expected);
    assert_eq!(object["status"]["conditions"][0]["reason"], "ServingInPart");
    // The pattern of PortStatus.error: a DNS subdomain, `/`, CamelCase; at most 316.
    for error in [PortError::SctpNotServed, PortError::NodePortRequired, PortError::NotServed] {
        let (domain, name) = error.as_str().split_once('/').unwrap();
        assert!(domain.chars().all(|c| c.is_ascii_lowercase() || c == '.'));
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()) && name.len() < 63);
    }
}

#[test]
fn an_object_of_another_uid_class_or_type_or_without_a_version_is_left_alone() {
    for patch in [
        json!({ "metadata": { "uid": "u2" } }),
        json!({ "spec": { "loadBalancerClass": "example.com/other" } }),
        json!({ "spec": { "type": "NodePort", "loadBalancerClass": null } }),
        json!({ "metadata": { "deletionTimestamp": "2026-11-21T02:59:09Z" } }),
        json!({ "metadata": { "resourceVersion": null } }),
    ] {
        let object = service(&patch);
        assert_eq!(plan_at(&serve(), &object, 5), [], "{patch}");
        assert_eq!(plan_at(&pending(), &object, 5), [], "{patch}");
    }
}

#[test]
fn an_endless_message_is_cut_at_a_character() {
    let message = "ü".repeat(5000);
    let long = intent(IntentState::Pending { reason: PendingReason::Refused, message });
    let mut object = service(&json!({}));
    settle(&long, &mut object);
    assert_eq!(object["status"]["conditions"][0]["message"].as_str().unwrap().len(), 1024);
    assert_eq!(plan_at(&long, &object, 5), []);
}
