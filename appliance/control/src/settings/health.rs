//! Reads `[health]` and a service's `health`.

use std::ops::RangeInclusive;
use std::time::Duration;

use spillway_lb::model::{CheckKind, Clockwork, Ejection, HealthCheck};

use super::form::{self, duration_words};
use super::report::{Report, Span, Spanned};
use super::section::Section;

/// `[health]`: what a service's check does not say itself.
#[derive(Clone, Debug)]
pub(super) struct HealthDefaults {
    /// `None` after a mistake, as is `probe_ports`.
    pub(super) clockwork: Option<Clockwork>,
    pub(super) ejection: Ejection,
    pub(super) probe_ports: Option<Spanned<RangeInclusive<u16>>>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Http,
    None,
}

const KINDS: [(&str, Kind); 3] = [("tcp", Kind::Tcp), ("http", Kind::Http), ("none", Kind::None)];

const TIMEOUT_MIN: Duration = Duration::from_millis(1);
const INTERVAL_MIN: Duration = Duration::from_millis(10);
const EJECT_WINDOW_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_hours(1);
/// What is held for longer than an hour is meant to be taken out by hand.
pub(super) const HOLD_MAX: Duration = Duration::from_hours(1);

/// What a service says about its health.
#[derive(Debug)]
pub(super) struct HealthDraft {
    /// `None`: not checked, or a mistake.
    pub(super) check: Option<HealthCheck>,
    pub(super) ejection: Ejection,
}

pub(super) fn read_defaults(mut section: Section<'_>) -> HealthDefaults {
    let clockwork = read_clockwork(&mut section, Some(Clockwork::default()));
    let ejection = read_ejection(&mut section, Ejection::default());
    let probe_ports = section.parse_or("probe_ports", form::PORTS, 61_000..=65_535);
    section.finish();
    HealthDefaults { clockwork, ejection, probe_ports }
}

/// The clockwork of the checks that are made up for a cluster's Services. After a mistake, which is
/// reported, the defaults.
pub(super) fn read_cluster_checks(section: &mut Section<'_>, defaults: Clockwork) -> Clockwork {
    read_clockwork(section, Some(defaults)).unwrap_or(defaults)
}

/// How much of a service its checks may take away.
pub(super) fn read_ejection(section: &mut Section<'_>, defaults: Ejection) -> Ejection {
    let window = read_duration(section, "eject_window", EJECT_WINDOW_MIN..=HOLD_MAX);
    Ejection {
        // 0 would be a check without a consequence; type none says that plainly.
        percent_max: section
            .integer("max_eject", 1..=100)
            .map_or(defaults.percent_max, |percent| percent.value),
        window: window.map_or(defaults.window, |window| window.value),
        fail_open: section.boolean("fail_open").unwrap_or(defaults.fail_open),
    }
}

/// `None` after a mistake in the interval or the timeout, here or in the defaults.
fn read_clockwork(section: &mut Section<'_>, defaults: Option<Clockwork>) -> Option<Clockwork> {
    let interval = read_duration(section, "interval", INTERVAL_MIN..=INTERVAL_MAX);
    let timeout = read_duration(section, "timeout", TIMEOUT_MIN..=INTERVAL_MAX);
    let said = timeout.as_ref().or(interval.as_ref()).map(|said| said.at);
    let or_default = |key, said: Option<Spanned<Duration>>, default| {
        if section.has(key) { said.map(|said| said.value) } else { default }
    };
    let interval = or_default("interval", interval, defaults.map(|it| it.interval));
    let timeout = or_default("timeout", timeout, defaults.map(|it| it.timeout));
    // Once, where the operator said the one or the other; a check that inherits both is spared.
    if let (Some(at), Some(interval), Some(timeout)) = (said, interval, timeout)
        && timeout > interval
    {
        let message = format!(
            "timeout {} is longer than the interval, {}",
            duration_words(timeout),
            duration_words(interval)
        );
        section.error(at, &message, Some("a check has to end before the next one begins"));
    }
    // The rest is read in any case: it may hold mistakes too.
    let defaults = defaults.unwrap_or_default();
    let fall = section.integer("fall", 1..=255);
    let rise = section.integer("rise", 1..=255);
    let jitter = section.integer("jitter", 0..=50);
    let hold_down = read_duration(section, "hold_down", Duration::ZERO..=HOLD_MAX);
    Some(Clockwork {
        interval: interval?,
        timeout: timeout?,
        fall: fall.map_or(defaults.fall, |fall| fall.value),
        rise: rise.map_or(defaults.rise, |rise| rise.value),
        jitter_percent: jitter.map_or(defaults.jitter_percent, |jitter| jitter.value),
        hold_down: hold_down.map_or(defaults.hold_down, |hold| hold.value),
    })
}

pub(super) fn read_duration(
    section: &mut Section<'_>,
    key: &'static str,
    range: RangeInclusive<Duration>,
) -> Option<Spanned<Duration>> {
    let duration = section.parse(key, form::DURATION)?;
    if range.contains(&duration.value) {
        return Some(duration);
    }
    let [low, high, said] = [*range.start(), *range.end(), duration.value].map(duration_words);
    section.error(duration.at, &format!("{key} must be {low} to {high}, not {said}"), None);
    None
}

/// The check of one service. Without a word about it, a service with a TCP frontend is checked by
/// TCP, any other not at all.
pub(super) fn read_check(
    section: Option<Section<'_>>,
    defaults: &HealthDefaults,
    has_tcp: bool,
    report: &Report,
) -> HealthDraft {
    let default_kind = if has_tcp { Kind::Tcp } else { Kind::None };
    let Some(mut section) = section else {
        let absent = Section::absent("", Span::whole(0), report);
        return read_kind(absent, default_kind, defaults);
    };
    let mistakes = report.count();
    let kind = section.choice("type", &KINDS);
    if kind.is_none() && report.count() > mistakes {
        // Which keys are right depends on the type.
        return HealthDraft { check: None, ejection: defaults.ejection };
    }
    // Its keys tell a type that is left out.
    let is_http = section.has("path") || section.has("expect") || section.has("host");
    let default_kind = if is_http { Kind::Http } else { default_kind };
    let kind = kind.map_or(default_kind, |kind| kind.value);
    read_kind(section, kind, defaults)
}

fn read_kind(mut section: Section<'_>, kind: Kind, defaults: &HealthDefaults) -> HealthDraft {
    let check_kind = match kind {
        Kind::Tcp => CheckKind::Tcp,
        Kind::Http => read_http(&mut section),
        Kind::None => {
            section.finish_with(|key| {
                Some(format!("`{key}` says nothing about a check of type none"))
            });
            return HealthDraft { check: None, ejection: defaults.ejection };
        }
    };
    let port = section.integer("port", 1..=65_535).map(|port| port.value);
    let clockwork = read_clockwork(&mut section, defaults.clockwork);
    let ejection = read_ejection(&mut section, defaults.ejection);
    section.finish_with(|key| {
        let http_only = ["path", "host", "expect"].contains(&key);
        http_only.then(|| format!("`{key}` belongs to type http; this check's type is tcp"))
    });
    let check = clockwork.map(|clockwork| HealthCheck { kind: check_kind, port, clockwork });
    HealthDraft { check, ejection }
}

fn read_http(section: &mut Section<'_>) -> CheckKind {
    let path = section.parse("path", form::HTTP_PATH);
    let host = section.parse("host", form::HTTP_HOST);
    let expect = section.parse("expect", form::STATUSES);
    CheckKind::Http {
        path: path.map_or_else(|| "/".to_owned(), |path| path.value),
        host: host.map(|host| host.value),
        expect: expect.map_or(200..=399, |expect| expect.value),
    }
}
