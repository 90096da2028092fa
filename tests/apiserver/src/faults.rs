//! What goes wrong on demand. Rules are data, so that a test can write them and a program send
//! them; what they do to a stream is pure.

use serde::{Deserialize, Serialize};

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// A Status of that code instead of an answer.
    Answer {
        code: u16,
        #[serde(default)]
        retry_after_s: Option<u32>,
    },
    /// The connection ends without an answer.
    HangUp,
    /// The answer begins that much later.
    Delay { ms: u64 },
    /// The body comes in pieces of that many bytes, with a pause between them.
    SlowBody { bytes: usize, ms: u64 },
    /// A body that is cut off after that many bytes (a stream or a list).
    CutAfterBytes { bytes: usize },
    /// A LIST without items.
    EmptyList,
    /// A LIST that has lost every second item.
    HalfList,
    /// A stream that breaks off after that many events.
    Cut { after: usize },
    /// A stream that ends properly after that many events.
    End { after: usize },
    /// A stream that is silent after that many events, and stays open.
    Stall { after: usize },
    /// Event number `event`, counted from 0, comes twice.
    Duplicate { event: usize },
    /// Event number `event` is followed by the first of the stream again: its version is older.
    Replay { event: usize },
    /// Event number `event` is unreadable.
    Garble { event: usize, how: Garble },
    /// No bookmark comes through: not even the one that ends the initial state.
    DropBookmarks,
    /// A watch is told that its version is too old.
    Expired,
}

/// In what way a line is unreadable.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Garble {
    /// Its second half is missing.
    Truncated,
    /// It is no JSON.
    Junk,
    /// It is JSON, but no event.
    WrongShape,
    /// An event of a type that nobody knows.
    UnknownType,
}

/// A fault, and what it happens to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// `services`; left out: any.
    #[serde(default)]
    pub resource: Option<String>,
    /// `list`, `watch`, `patch` ...; left out: any to which the fault can happen.
    #[serde(default)]
    pub verb: Option<String>,
    /// To how many requests; left out: to all, till the plan is cleared.
    #[serde(default)]
    pub times: Option<u32>,
    pub fault: Fault,
    /// What else happens to the same request.
    #[serde(default)]
    pub and: Vec<Fault>,
}

impl Rule {
    /// Happens to the next request of any kind.
    pub fn once(fault: Fault) -> Self {
        Self { resource: None, verb: None, times: Some(1), fault, and: Vec::new() }
    }

    /// Only to that resource.
    #[must_use]
    pub fn on(self, resource: &str) -> Self {
        Self { resource: Some(resource.into()), ..self }
    }

    /// Only to that verb.
    #[must_use]
    pub fn when(self, verb: &str) -> Self {
        Self { verb: Some(verb.into()), ..self }
    }

    /// That often.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Together with that.
    #[must_use]
    pub fn and(mut self, fault: Fault) -> Self {
        self.and.push(fault);
        self
    }

    /// Till the plan is cleared.
    #[must_use]
    pub fn always(self) -> Self {
        Self { times: None, ..self }
    }
}

impl Fault {
    fn can_happen_to(&self, verb: &str) -> bool {
        match self {
            Self::Answer { .. }
            | Self::HangUp
            | Self::Delay { .. }
            | Self::SlowBody { .. }
            | Self::CutAfterBytes { .. } => true,
            Self::EmptyList | Self::HalfList => verb == "list",
            Self::Cut { .. }
            | Self::End { .. }
            | Self::Stall { .. }
            | Self::Duplicate { .. }
            | Self::Replay { .. }
            | Self::Garble { .. }
            | Self::DropBookmarks
            | Self::Expired => verb == "watch",
        }
    }
}

/// The rules that are left.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    rules: Vec<Rule>,
}

impl FaultPlan {
    pub fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// Are there rules left?
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What happens to this request: all rules that stand till they are cleared, and the first of
    /// those with a number of times. So the counted rules are a script, one after the other.
    pub fn take(&mut self, verb: &str, resource: &str) -> Vec<Fault> {
        let mut happening = Vec::new();
        let mut has_counted = false;
        for rule in &mut self.rules {
            let is_hit = rule.resource.as_deref().is_none_or(|wanted| wanted == resource)
                && rule.verb.as_deref().is_none_or(|wanted| wanted == verb)
                && rule.fault.can_happen_to(verb)
                && (rule.times.is_none() || !has_counted);
            if is_hit {
                has_counted |= rule.times.is_some();
                rule.times = rule.times.map(|times| times.saturating_sub(1));
                happening.push(rule.fault.clone());
                happening.extend(rule.and.iter().cloned());
            }
        }
        self.rules.retain(|rule| rule.times != Some(0));
        happening
    }
}

/// What a stream does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Send(String),
    /// Breaks off.
    Cut,
    /// Ends as it should.
    End,
    /// Says nothing more.
    Stall,
}

/// A stream with its faults.
#[derive(Debug, Default)]
pub struct Mangler {
    faults: Vec<Fault>,
    events: usize,
    bytes: usize,
    first: Option<String>,
}

impl Mangler {
    pub fn new(faults: &[Fault]) -> Self {
        Self { faults: faults.to_vec(), ..Self::default() }
    }

    /// What happens before the first event.
    pub fn start(&self) -> Option<Step> {
        self.after()
    }

    /// What becomes of one line of the stream.
    pub fn pass(&mut self, line: &str) -> Vec<Step> {
        let is_bookmark = line.starts_with("{\"type\":\"BOOKMARK\"");
        if is_bookmark && self.faults.contains(&Fault::DropBookmarks) {
            return Vec::new();
        }
        let number = self.events;
        self.events += 1;
        let mut lines = vec![line.to_owned()];
        for fault in &self.faults {
            match fault {
                Fault::Duplicate { event } if *event == number => lines.push(line.to_owned()),
                Fault::Replay { event } if *event == number => lines.extend(self.first.clone()),
                Fault::Garble { event, how } if *event == number => {
                    lines = vec![garble(line, *how)];
                }
                Fault::Answer { .. }
                | Fault::HangUp
                | Fault::Delay { .. }
                | Fault::SlowBody { .. }
                | Fault::CutAfterBytes { .. }
                | Fault::EmptyList
                | Fault::HalfList
                | Fault::Cut { .. }
                | Fault::End { .. }
                | Fault::Stall { .. }
                | Fault::Duplicate { .. }
                | Fault::Replay { .. }
                | Fault::Garble { .. }
                | Fault::DropBookmarks
                | Fault::Expired => {}
            }
        }
        if self.first.is_none() && !is_bookmark {
            self.first = Some(line.to_owned());
        }
        let mut steps = Vec::new();
        for line in lines {
            if let Some(left) = self.bytes_left().filter(|left| *left < line.len()) {
                steps.push(Step::Send(line.chars().take(left).collect()));
                steps.push(Step::Cut);
                return steps;
            }
            self.bytes += line.len();
            steps.push(Step::Send(line));
        }
        steps.extend(self.after());
        steps
    }

    fn bytes_left(&self) -> Option<usize> {
        let limits = self.faults.iter().filter_map(|fault| {
            if let Fault::CutAfterBytes { bytes } = fault { Some(*bytes) } else { None }
        });
        limits.min().map(|bytes| bytes.saturating_sub(self.bytes))
    }

    fn after(&self) -> Option<Step> {
        let is_due = |fault: &Fault| {
            let due = if let Fault::Cut { after } = fault {
                (*after, Step::Cut)
            } else if let Fault::End { after } = fault {
                (*after, Step::End)
            } else if let Fault::Stall { after } = fault {
                (*after, Step::Stall)
            } else {
                return None;
            };
            (due.0 == self.events).then_some(due.1)
        };
        self.faults.iter().find_map(is_due)
    }
}

fn garble(line: &str, how: Garble) -> String {
    match how {
        Garble::Truncated => {
            let half: String = line.chars().take(line.chars().count() / 2).collect();
            format!("{half}\n")
        }
        Garble::Junk => "\u{0}\u{1}not json at all}{\n".into(),
        Garble::WrongShape => "{\"kind\":\"Pancake\",\"layers\":[1,2,3]}\n".into(),
        Garble::UnknownType => "{\"type\":\"TELEPORTED\",\"object\":{}}\n".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_used_up_by_the_requests_that_it_hits_and_by_no_others() {
        let mut plan = FaultPlan::default();
        plan.add(
            Rule::once(Fault::Answer { code: 503, retry_after_s: None }).on("services").times(2),
        );
        assert!(plan.take("list", "nodes").is_empty());
        assert_eq!(plan.take("list", "services").len(), 1);
        assert_eq!(plan.take("watch", "services").len(), 1);
        assert!(plan.take("list", "services").is_empty());
        assert!(plan.is_empty());
    }

    #[test]
    fn counted_rules_are_a_script_and_standing_ones_are_always_there() {
        let mut plan = FaultPlan::default();
        plan.add(Rule::once(Fault::DropBookmarks).always());
        plan.add(Rule::once(Fault::HangUp));
        plan.add(Rule::once(Fault::Cut { after: 1 }).and(Fault::Delay { ms: 5 }));
        assert_eq!(plan.take("watch", "nodes"), [Fault::DropBookmarks, Fault::HangUp]);
        let second = [Fault::DropBookmarks, Fault::Cut { after: 1 }, Fault::Delay { ms: 5 }];
        assert_eq!(plan.take("watch", "nodes"), second);
        assert_eq!(plan.take("watch", "nodes"), [Fault::DropBookmarks]);
    }

    #[test]
    fn a_stream_is_cut_stalled_doubled_and_garbled_at_the_event_that_the_rule_names() {
        let send = |text: &str| Step::Send(text.into());
        let mut mangler = Mangler::new(&[
            Fault::Duplicate { event: 1 },
            Fault::Replay { event: 1 },
            Fault::Cut { after: 2 },
        ]);
        assert_eq!(mangler.start(), None);
        assert_eq!(mangler.pass("a\n"), [send("a\n")]);
        assert_eq!(mangler.pass("b\n"), [send("b\n"), send("b\n"), send("a\n"), Step::Cut]);
        let mut mangler = Mangler::new(&[Fault::CutAfterBytes { bytes: 3 }]);
        assert_eq!(mangler.pass("a\n"), [send("a\n")]);
        assert_eq!(mangler.pass("b\n"), [send("b"), Step::Cut]);
        let garbled = Fault::Garble { event: 0, how: Garble::Truncated };
        assert_eq!(Mangler::new(&[garbled]).pass("{\"a\":1}\n"), [send("{\"a\"\n")]);
        assert_eq!(Mangler::new(&[Fault::Stall { after: 0 }]).start(), Some(Step::Stall));
    }

    #[test]
    fn dropped_bookmarks_do_not_count_as_events() {
        let mut mangler = Mangler::new(&[Fault::DropBookmarks, Fault::End { after: 1 }]);
        assert_eq!(mangler.pass("{\"type\":\"BOOKMARK\",\"object\":{}}\n"), []);
        assert_eq!(mangler.pass("x\n"), [Step::Send("x\n".into()), Step::End]);
    }

    #[test]
    fn rules_can_be_written_as_json() {
        let text =
            r#"{"resource":"services","verb":"watch","fault":{"garble":{"event":2,"how":"junk"}}}"#;
        let rule: Rule = serde_json::from_str(text).unwrap();
        let fault = Fault::Garble { event: 2, how: Garble::Junk };
        assert_eq!(rule, Rule::once(fault).on("services").when("watch").always());
    }
}
