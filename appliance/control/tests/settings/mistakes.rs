//! Broken files, each with the mistake that must be found in it and the span that must be marked.

mod dataplane;
mod health;
mod kubernetes;
mod language;
mod pools;
mod ports;
mod routes;
mod services;
mod several;
mod snat;

use crate::folder::{BASE, Folder};

/// What is replaced in [`BASE`]; by what, with «» around the text that must be marked (no marks:
/// the mistake is about the file as a whole); the message; the help, if any.
type Case = (&'static str, &'static str, &'static str, Option<&'static str>);

/// Line, column and length, in characters.
pub(crate) type Span = (usize, usize, usize);

/// Removes the marks and says where they stood.
pub(crate) fn unmark(text: &str) -> (String, Vec<Span>) {
    let (mut plain, mut spans) = (String::new(), Vec::new());
    let (mut line, mut column) = (1, 1);
    for c in text.chars() {
        match c {
            '«' => spans.push((line, column, 0)),
            '»' => {
                let span: &mut Span = spans.last_mut().unwrap();
                span.2 = column - span.1;
            }
            '\n' => {
                plain.push(c);
                (line, column) = (line + 1, 1);
            }
            _ => {
                plain.push(c);
                column += 1;
            }
        }
    }
    (plain, spans)
}

fn broken(from: &str, to: &str) -> String {
    assert!(from.is_empty() || BASE.contains(from), "not in the base: {from}");
    if from.is_empty() { format!("{BASE}{to}\n") } else { BASE.replacen(from, to, 1) }
}

fn check(cases: &[Case]) {
    let mut wrong = Vec::new();
    for (from, to, message, help) in cases {
        let (text, mut spans) = unmark(&broken(from, to));
        if spans.is_empty() {
            spans.push((0, 0, 0));
        }
        let Err(mistakes) = Folder::with(&text).load() else {
            wrong.push(format!("not refused: {to}"));
            continue;
        };
        let found: Vec<(Span, &str, Option<&str>)> = mistakes
            .iter()
            .map(|mistake| {
                let place = &mistake.place;
                let span = (place.line, place.column, place.length);
                (span, mistake.message.as_str(), mistake.help.as_deref())
            })
            .collect();
        let expected = [(spans[0], *message, *help)];
        if found != expected || spans.len() != 1 {
            wrong.push(format!("{to}\n  expected {expected:?}\n  found    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
