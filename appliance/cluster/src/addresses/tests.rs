//! The rules one by one, then all of them against a naive model.

use std::collections::BTreeMap;
use std::net::IpAddr;

use spillway_lb::model::Protocol;

use super::*;
use crate::change::ObjectKey;
use crate::pool::{LabelRule, Pool, Span};

mod dual_stack;
mod laws;
mod pools;
mod sharing;

/// A pool of prefixes (`a/b`) and ranges (`a-b`) that anybody may use.
fn pool(name: &str, spans: &[&str]) -> Pool {
    let span = |text: &&str| match text.split_once('-') {
        Some((first, last)) => Span::Range { first: ip(first), last: ip(last) },
        None => Span::Prefix(text.parse().unwrap()),
    };
    Pool {
        name: name.to_owned(),
        spans: spans.iter().map(span).collect(),
        namespaces: Vec::new(),
        labels: Vec::new(),
        auto_assign: true,
        priority: 0,
        avoid_buggy_ips: false,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "default".to_owned(), name: name.to_owned() }
}

/// A Service `default/name` created in that second, for one IPv4 address.
fn wants(name: &str, second: u32) -> Request {
    Request {
        service: key(name),
        uid: format!("uid-{name}"),
        created: format!("2026-11-21T00:{:02}:{:02}Z", second / 60, second % 60),
        labels: BTreeMap::new(),
        families: vec![Family::V4],
        family_policy: FamilyPolicy::SingleStack,
        pool: None,
        addresses: Vec::new(),
        sharing_key: None,
        ports: vec![(Protocol::Tcp, 80)],
        is_local: false,
        selector: format!("app={name}"),
        current: Vec::new(),
    }
}

type Answers = BTreeMap<ObjectKey, Result<Assignment, AddressError>>;

fn got(answers: &Answers, name: &str) -> Vec<IpAddr> {
    match &answers[&key(name)] {
        Ok(assignment) => assignment.addresses.clone(),
        Err(error) => panic!("{error}"),
    }
}

fn refusal(answers: &Answers, name: &str) -> String {
    answers[&key(name)].as_ref().expect_err("a refusal").to_string()
}
