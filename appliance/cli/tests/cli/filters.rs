//! What is typed is what is asked.

use spillway_admin::{
    ConntrackFilter, FlowState, ObjectKind, Protocol, Request, Row, ServiceFilter,
};

use crate::daemon::Daemon;
use crate::samples;

#[track_caller]
fn asked_by(arguments: &str) -> ConntrackFilter {
    let (outcome, request) = Daemon::with_rows(&samples::conntrack()).ask(arguments);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let Request::ConntrackList(filter) = request else { panic!("{request:?} was asked") };
    filter
}

#[test]
fn without_conditions_every_flow_is_asked_for() {
    assert_eq!(asked_by("conntrack list"), ConntrackFilter::default());
}

#[test]
fn every_condition_reaches_the_daemon() {
    let filter = asked_by(
        "conntrack list --client 172.26.50.1 --frontend 172.26.50.101:30645 \
         --backend 10.0.1.72:80 --snat [2001:db8::1]:31210 --protocol tcp \
         --state established --limit 5",
    );
    assert_eq!(
        filter,
        ConntrackFilter {
            client: Some("172.26.50.1".parse().unwrap()),
            frontend: Some("172.26.50.101:30645".parse().unwrap()),
            backend: Some("10.0.1.72:80".parse().unwrap()),
            snat: Some("[2001:db8::1]:31210".parse().unwrap()),
            protocol: Some(Protocol::Tcp),
            state: Some(FlowState::Established),
            limit: Some(5),
        }
    );
}

#[test]
fn protocol_and_state_may_be_typed_in_capitals() {
    let filter = asked_by("conntrack list --protocol UDP --state Syn-Sent");
    assert_eq!((filter.protocol, filter.state), (Some(Protocol::Udp), Some(FlowState::SynSent)));
}

#[track_caller]
fn asks<R: Row>(rows: &[R], arguments: &str, expected: &Request) {
    let (outcome, request) = Daemon::with_rows(rows).ask(arguments);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(&request, expected, "{arguments}");
}

#[test]
fn services_and_refusals_are_asked_for_by_namespace_and_part_of_a_name() {
    let shop = || Some("shop".to_owned());
    let both = ServiceFilter { namespace: shop(), name: Some("web".to_owned()) };
    let arguments = "service list --namespace shop --name web";
    asks(&samples::services(), arguments, &Request::ServiceList(both.clone()));
    let arguments = "service list --refused -n shop --name web";
    asks(&samples::refused(), arguments, &Request::RefusedList(both));
}

#[test]
fn a_kind_may_be_typed_in_any_case_or_left_out() {
    let rows = samples::accepted();
    for (typed, kind) in [
        ("", None),
        (" Service", Some(ObjectKind::Service)),
        (" endpointslice", Some(ObjectKind::EndpointSlice)),
        (" NODE", Some(ObjectKind::Node)),
    ] {
        let arguments = format!("kubernetes accept-shrink{typed}");
        asks(&rows, &arguments, &Request::AcceptShrink(kind));
    }
}
