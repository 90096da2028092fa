//! What is said, byte for byte as kube-proxy v1.36 says it (`pkg/proxy/healthcheck`).

use std::time::{Duration, Instant, SystemTime};

use super::State;

/// Which of the questions a port answers.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// `/healthz` and `/livez`.
    Node,
    /// The `healthCheckNodePort`, whatever the path.
    Service(u16),
}

/// A status, a body, and what else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub is_good: Good,
    /// `X-Load-Balancing-Endpoint-Weight`.
    pub weight: Option<usize>,
    pub body: String,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Good {
    /// 200.
    Yes,
    /// 503.
    No,
    /// 404, in plain text: the path is no question.
    NoQuestion,
}

impl Good {
    const fn of(is_good: bool) -> Self {
        if is_good { Self::Yes } else { Self::No }
    }
}

/// Answers a request for `path`.
pub fn answer(state: &State, question: Question, path: &str, now: (Instant, SystemTime)) -> Answer {
    match question {
        Question::Node => node(state, path, now),
        Question::Service(port) => service(state, port, now.0),
    }
}

fn node(state: &State, path: &str, now: (Instant, SystemTime)) -> Answer {
    let is_healthy = state.is_healthy(now.0);
    let current = go_time(Some(now.1));
    let is_eligible = state.is_eligible;
    let is_good = match path {
        "/healthz" => is_healthy && is_eligible,
        "/livez" => is_healthy,
        _ => {
            let body = "404 page not found\n".to_owned();
            return Answer { is_good: Good::NoQuestion, weight: None, body };
        }
    };
    // "The returned lastUpdated value is recent if the server is healthy."
    let updated = if is_good { current.clone() } else { go_time(state.updated) };
    let body = if path == "/healthz" {
        format!(
            "{{\"lastUpdated\": \"{updated}\",\"currentTime\": \"{current}\", \"nodeEligible\": {is_eligible}}}"
        )
    } else {
        format!("{{\"lastUpdated\": \"{updated}\",\"currentTime\": \"{current}\"}}")
    };
    Answer { is_good: Good::of(is_good), weight: None, body }
}

fn service(state: &State, port: u16, now: Instant) -> Answer {
    let is_healthy = state.is_healthy(now);
    let it = state.services.get(&port);
    let (namespace, name) = it.map_or(("", ""), |it| (it.namespace.as_str(), it.name.as_str()));
    let endpoints = it.map_or(0, |it| it.local_endpoints);
    // Names of the API hold nothing that JSON escapes.
    let body = format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": \"{namespace}\",\n\t\t\"name\": \"{name}\"\n\t}},\n\
         \t\"localEndpoints\": {endpoints},\n\t\"serviceProxyHealthy\": {is_healthy}\n}}"
    );
    Answer { is_good: Good::of(endpoints > 0 && is_healthy), weight: Some(endpoints), body }
}

/// As Go's `time.Time` shows itself: `2026-11-21 03:15:41.5 +0000 UTC`, its zero when there is no time.
fn go_time(time: Option<SystemTime>) -> String {
    let Some(since) = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()) else {
        return "0001-01-01 00:00:00 +0000 UTC".to_owned();
    };
    let (year, month, day) = civil(since.as_secs() / 86_400);
    let second = since.as_secs() % 86_400;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let fraction = fraction(since);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction} +0000 UTC")
}

/// Nanoseconds without the zeros at their end; nothing where there are none.
fn fraction(since: Duration) -> String {
    match since.subsec_nanos() {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    }
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar: Howard Hinnant's `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    // From 0000-03-01 on, so that the leap day is the last of a year; 400 years are 146,097 days.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}
