//! Reads `[health]` and a service's `health`.

use std::ops::RangeInclusive;
use std::time::Duration;

use spillway_lb::model::{CheckKind, HealthCheck};

use super::form;
use super::report::{Report, Span, Spanned};
use super::section::Section;

/// The clockwork of a check.
#[derive(Clone, Debug)]
pub(super) struct Clockwork {
    interval: Spanned<Duration>,
    timeout: Spanned<Duration>,
    fall: u8,
    rise: u8,
    jitter_percent: u8,
}

/// `[health]`: what a service's check does not say itself.
#[derive(Clone, Debug)]
pub(super) struct HealthDefaults {
    pub(super) clockwork: Clockwork,
    pub(super) probe_ports: Spanned<RangeInclusive<u16>>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Http,
    None,
}

const KINDS: [(&str, Kind); 3] = [("tcp", Kind::Tcp), ("http", Kind::Http), ("none", Kind::None)];

const INTERVAL_MIN: Duration = Duration::from_millis(10);
const INTERVAL_MAX: Duration = Duration::from_hours(1);

pub(super) fn read_defaults(mut section: Section<'_>) -> HealthDefaults {
    let built_in = Clockwork {
        interval: Spanned::new(Duration::from_secs(2), section.at),
        timeout: Spanned::new(Duration::from_secs(1), section.at),
        fall: 3,
        rise: 2,
        jitter_percent: 10,
    };
    let clockwork = read_clockwork(&mut section, &built_in);
    let probe_ports = section
        .parse("probe_ports", form::PORTS)
        .unwrap_or(Spanned::new(61_000..=65_535, section.at));
    section.finish();
    HealthDefaults { clockwork, probe_ports }
}

fn read_clockwork(section: &mut Section<'_>, defaults: &Clockwork) -> Clockwork {
    let interval = section.parse("interval", form::DURATION);
    if let Some(interval) = &interval
        && !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval.value)
    {
        let message = format!("interval must be 10ms to 1h, not {:?}", interval.value);
        section.error(interval.at, &message, None);
    }
    let timeout = section.parse("timeout", form::DURATION);
    if let Some(timeout) = timeout.as_ref().filter(|timeout| timeout.value.is_zero()) {
        section.error(timeout.at, "timeout cannot be 0", None);
    }
    let said = timeout.as_ref().or(interval.as_ref()).map(|said| said.at);
    let clockwork = Clockwork {
        interval: interval.unwrap_or_else(|| defaults.interval.clone()),
        timeout: timeout.unwrap_or_else(|| defaults.timeout.clone()),
        fall: section.integer("fall", 1..=255).map_or(defaults.fall, |fall| fall.value),
        rise: section.integer("rise", 1..=255).map_or(defaults.rise, |rise| rise.value),
        jitter_percent: section
            .integer("jitter", 0..=50)
            .map_or(defaults.jitter_percent, |jitter| jitter.value),
    };
    // Once, where the operator said the one or the other; a check that inherits both is spared.
    if let Some(at) = said
        && clockwork.timeout.value > clockwork.interval.value
    {
        let (timeout, interval) = (clockwork.timeout.value, clockwork.interval.value);
        let message = format!("timeout {timeout:?} is longer than the interval, {interval:?}");
        section.error(at, &message, Some("a check has to end before the next one begins"));
    }
    clockwork
}

/// The check of one service. Without a word about it, a service with a TCP frontend is checked by
/// TCP, any other not at all.
pub(super) fn read_check(
    section: Option<Section<'_>>,
    defaults: &HealthDefaults,
    has_tcp: bool,
    report: &Report,
) -> Option<HealthCheck> {
    let default_kind = if has_tcp { Kind::Tcp } else { Kind::None };
    let Some(mut section) = section else {
        let absent = Section::absent("", Span::whole(0), report);
        return read_kind(absent, default_kind, &defaults.clockwork);
    };
    let mistakes = report.count();
    let kind = section.choice("type", &KINDS);
    if kind.is_none() && report.count() > mistakes {
        // Which keys are right depends on the type.
        return None;
    }
    let kind = kind.map(|kind| kind.value).unwrap_or_else(|| {
        let http = section.has("path") || section.has("expect") || section.has("host");
        if http { Kind::Http } else { default_kind }
    });
    read_kind(section, kind, &defaults.clockwork)
}

fn read_kind(mut section: Section<'_>, kind: Kind, defaults: &Clockwork) -> Option<HealthCheck> {
    let check_kind = match kind {
        Kind::Tcp => CheckKind::Tcp,
        Kind::Http => read_http(&mut section),
        Kind::None => {
            section.finish_with(|key| {
                Some(format!("`{key}` says nothing about a check of type none"))
            });
            return None;
        }
    };
    let port = section.integer("port", 1..=65_535).map(|port| port.value);
    let clockwork = read_clockwork(&mut section, defaults);
    section.finish_with(|key| {
        let http_only = ["path", "host", "expect"].contains(&key);
        http_only.then(|| format!("`{key}` belongs to type http; this check's type is tcp"))
    });
    Some(HealthCheck {
        kind: check_kind,
        port,
        interval: clockwork.interval.value,
        timeout: clockwork.timeout.value,
        fall: clockwork.fall,
        rise: clockwork.rise,
        jitter_percent: clockwork.jitter_percent,
    })
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
