//! What a Service asks for in its annotations.
//!
//! | `spillway.io/` | value | without it |
//! |---|---|---|
//! | `scheduler` | `random`, `maglev` | the operator's |
//! | `forward` | `node`, `pod` | the operator's |
//! | `pool` | a pool's name | any that assigns by itself |
//! | `addresses` | addresses, by commas; one of a family | any |
//! | `sharing-key` | text | the address is not shared |
//! | `health-check` | `none`, `tcp`, `http:/path`, `http:port/path` | `tcp` for TCP ports |
//! | `fail-open` | `true`, `false` | the operator's |
//!
//! A change counts from the next flow on; flows that live keep their way. (Cilium freezes scheduler and forwarding
//! mode at creation. It must, for its tables are keyed by them; ours are not, and flows have records.)
//!
//! For those who come from MetalLB its own are read as well, in the new and the old spelling:
//! `metallb.io/address-pool`, `metallb.io/loadBalancerIPs`, `metallb.io/allow-shared-ip`, and so is the deprecated
//! `spec.loadBalancerIP`. Ours win. Whatever is read must make sense: a wrong value refuses the Service rather
//! than serving it in a way that nobody asked for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use spillway_lb::model::Scheduler;

use crate::object::{Meta, Shown};
use crate::policy::BackendMode;

/// Longest value that is looked at.
const VALUE_LEN_MAX: usize = 1024;

/// Longest path of a health check.
const PATH_LEN_MAX: usize = 255;

const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const POOL: &[&str] =
    &["spillway.io/pool", "metallb.io/address-pool", "metallb.universe.tf/address-pool"];
const ADDRESSES: &[&str] =
    &["spillway.io/addresses", "metallb.io/loadBalancerIPs", "metallb.universe.tf/loadBalancerIPs"];
const SHARING: &[&str] = &[
    "spillway.io/sharing-key",
    "metallb.io/allow-shared-ip",
    "metallb.universe.tf/allow-shared-ip",
];

/// A Service's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    pub scheduler: Option<Scheduler>,
    pub forward: Option<BackendMode>,
    pub pool: Option<String>,
    pub addresses: Vec<IpAddr>,
    pub sharing_key: Option<String>,
    pub check: Option<CheckWish>,
    pub fail_open: Option<bool>,
}

/// How the backends of a port are to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckWish {
    /// Not at all: every backend is taken as serving.
    None,
    Tcp,
    Http {
        /// The backend's own when `None`.
        port: Option<u16>,
        path: String,
    },
}

/// An annotation that holds what it may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("annotation {key} is \"{}\"; allowed: {allowed}", Shown(value))]
pub struct BadAnnotation {
    pub key: &'static str,
    pub value: String,
    pub allowed: &'static str,
}

/// One annotation that is there.
struct Said<'a> {
    key: &'static str,
    value: &'a str,
}

impl Said<'_> {
    fn bad(&self, allowed: &'static str) -> BadAnnotation {
        BadAnnotation { key: self.key, value: self.value.to_owned(), allowed }
    }
}

/// Reads all annotations that mean something to the box.
///
/// # Errors
/// The first that holds what it may not.
pub fn read(meta: &Meta) -> Result<Wishes, BadAnnotation> {
    let all = &meta.annotations;
    Ok(Wishes {
        scheduler: scheduler_wish(meta)?,
        forward: find(all, &["spillway.io/forward"])?.map(|it| forward(&it)).transpose()?,
        pool: find(all, POOL)?
            .map(|it| text(&it, "the name of a pool, at most 120 printable characters"))
            .transpose()?,
        addresses: find(all, ADDRESSES)?.map(|it| addresses(&it)).transpose()?.unwrap_or_default(),
        sharing_key: find(all, SHARING)?
            .map(|it| text(&it, "a text of 1 to 120 printable characters"))
            .transpose()?,
        check: find(all, &["spillway.io/health-check"])?.map(|it| check(&it)).transpose()?,
        fail_open: find(all, &["spillway.io/fail-open"])?.map(|it| fail_open(&it)).transpose()?,
    })
}

/// Reads the one annotation that means something to a node too.
///
/// # Errors
/// That it holds what it may not.
pub fn scheduler_wish(meta: &Meta) -> Result<Option<Scheduler>, BadAnnotation> {
    find(&meta.annotations, &["spillway.io/scheduler"])?.map(|it| scheduler(&it)).transpose()
}

/// The deprecated way to give source ranges: by commas.
pub fn source_ranges(meta: &Meta) -> Option<&str> {
    meta.annotations.get(SOURCE_RANGES).map(|it| it.trim()).filter(|it| !it.is_empty())
}

/// The first of the keys that is there.
fn find<'a>(
    all: &'a BTreeMap<String, String>,
    keys: &[&'static str],
) -> Result<Option<Said<'a>>, BadAnnotation> {
    let found =
        keys.iter().find_map(|key| all.get(*key).map(|value| Said { key, value: value.trim() }));
    match found {
        Some(said) if said.value.len() > VALUE_LEN_MAX => Err(said.bad("at most 1024 bytes")),
        found => Ok(found),
    }
}

fn scheduler(said: &Said<'_>) -> Result<Scheduler, BadAnnotation> {
    match said.value {
        "random" => Ok(Scheduler::Random),
        "maglev" => Ok(Scheduler::Maglev),
        _ => Err(said.bad("random, maglev")),
    }
}

fn forward(said: &Said<'_>) -> Result<BackendMode, BadAnnotation> {
    match said.value {
        "node" => Ok(BackendMode::Node),
        "pod" => Ok(BackendMode::Pod),
        _ => Err(said.bad("node, pod")),
    }
}

fn fail_open(said: &Said<'_>) -> Result<bool, BadAnnotation> {
    match said.value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(said.bad("true, false")),
    }
}

fn text(said: &Said<'_>, allowed: &'static str) -> Result<String, BadAnnotation> {
    // It comes back in messages of other modules: only what may be shown as it is.
    let is_good = !said.value.is_empty() && Shown(said.value).to_string() == said.value;
    if is_good { Ok(said.value.to_owned()) } else { Err(said.bad(allowed)) }
}

fn addresses(said: &Said<'_>) -> Result<Vec<IpAddr>, BadAnnotation> {
    let parsed = said.value.split(',').map(|it| it.trim().parse());
    parsed.collect::<Result<_, _>>().map_err(|_| said.bad("IP addresses, separated by commas"))
}

fn check(said: &Said<'_>) -> Result<CheckWish, BadAnnotation> {
    const ALLOWED: &str = "none, tcp, http:/path, http:port/path";
    match said.value {
        "none" => return Ok(CheckWish::None),
        "tcp" => return Ok(CheckWish::Tcp),
        _ => {}
    }
    let rest = said.value.strip_prefix("http:").ok_or_else(|| said.bad(ALLOWED))?;
    let slash = rest.find('/').ok_or_else(|| said.bad(ALLOWED))?;
    let (port, path) = rest.split_at(slash);
    let port = match port {
        "" => None,
        digits if digits.bytes().all(|it| it.is_ascii_digit()) => {
            Some(digits.parse::<u16>().ok().filter(|it| *it > 0).ok_or_else(|| said.bad(ALLOWED))?)
        }
        _ => return Err(said.bad(ALLOWED)),
    };
    // The path goes into a request line: a space or a line end would write another request.
    if path.len() > PATH_LEN_MAX || !path.bytes().all(|it| it.is_ascii_graphic()) {
        return Err(said.bad("an HTTP path of at most 255 printable characters without spaces"));
    }
    Ok(CheckWish::Http { port, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Wishes, BadAnnotation> {
        let annotations = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        read(&Meta { annotations: annotations.collect(), ..Meta::default() })
    }

    #[test]
    fn all_annotations_are_read() {
        let wishes = of(&[
            ("spillway.io/scheduler", "maglev"),
            ("spillway.io/forward", " pod "),
            ("spillway.io/pool", "blue"),
            ("spillway.io/addresses", "192.0.2.1, 2001:db8::1"),
            ("spillway.io/sharing-key", "k"),
            ("spillway.io/health-check", "http:8080/healthz?full=1"),
            ("spillway.io/fail-open", "false"),
            ("example.com/else", "\0"),
        ]);
        let expected = Wishes {
            scheduler: Some(Scheduler::Maglev),
            forward: Some(BackendMode::Pod),
            pool: Some("blue".to_owned()),
            addresses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            sharing_key: Some("k".to_owned()),
            check: Some(CheckWish::Http { port: Some(8080), path: "/healthz?full=1".to_owned() }),
            fail_open: Some(false),
        };
        assert_eq!(wishes, Ok(expected));
    }

    #[test]
    fn without_annotations_nothing_is_wished() {
        assert_eq!(of(&[]), Ok(Wishes::default()));
    }

    #[test]
    fn metallb_is_understood_and_ours_wins() {
        let old = [
            ("metallb.universe.tf/address-pool", "old"),
            ("metallb.universe.tf/loadBalancerIPs", "192.0.2.9"),
            ("metallb.universe.tf/allow-shared-ip", "oldkey"),
        ];
        let wishes = of(&old).unwrap();
        assert_eq!(wishes.pool.as_deref(), Some("old"));
        assert_eq!(wishes.addresses, ["192.0.2.9".parse::<IpAddr>().unwrap()]);
        assert_eq!(wishes.sharing_key.as_deref(), Some("oldkey"));
        let mut all = old.to_vec();
        all.push(("metallb.io/address-pool", "new"));
        assert_eq!(of(&all).unwrap().pool.as_deref(), Some("new"));
        all.push(("spillway.io/pool", "ours"));
        assert_eq!(of(&all).unwrap().pool.as_deref(), Some("ours"));
    }

    #[test]
    fn a_bad_value_is_named_with_what_is_allowed() {
        let error = of(&[("spillway.io/forward", "pods\n")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "annotation spillway.io/forward is \"pods\"; allowed: node, pod"
        );
        for (key, value) in [
            ("spillway.io/scheduler", "rr"),
            ("spillway.io/forward", ""),
            ("spillway.io/pool", " "),
            ("spillway.io/addresses", "192.0.2.1,"),
            ("spillway.io/addresses", "192.0.2.256"),
            ("spillway.io/addresses", "192.0.2.0/24"),
            ("spillway.io/sharing-key", ""),
            ("spillway.io/fail-open", "yes"),
            ("metallb.io/loadBalancerIPs", "none"),
        ] {
            assert_eq!(of(&[(key, value)]).unwrap_err().key, key, "{value}");
        }
    }

    #[test]
    fn a_check_cannot_write_a_second_request() {
        for value in [
            "http:/a b",
            "http:/a\r\nHost: x",
            "http:/\u{e9}",
            "http:8080",
            "http:0/",
            "http:65536/",
            "http:+80/",
            "http://host/path:80 ",
            "https:/",
            "udp",
        ] {
            let wishes = of(&[("spillway.io/health-check", value)]);
            match value {
                // A path may begin with two slashes: it stays a path.
                "http://host/path:80 " => assert!(wishes.is_ok(), "{value}"),
                _ => assert!(wishes.is_err(), "{value}"),
            }
        }
        let long = format!("http:/{}", "x".repeat(PATH_LEN_MAX));
        assert!(of(&[("spillway.io/health-check", &long)]).is_err());
        assert!(of(&[("spillway.io/pool", &"x".repeat(VALUE_LEN_MAX + 1))]).is_err());
    }
}
