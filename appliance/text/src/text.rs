//! Text for people: harmless strings, rounded numbers, durations.

use std::borrow::Cow;
use std::fmt::{Display, Write};

/// `text` with everything escaped that a terminal might obey instead of show.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_unsafe(character) {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

/// Control characters (C0, DEL, C1), and those that turn or break the line (Unicode UAX #9, #14).
pub fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// How much detail a table has room for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    Table,
    Wide,
}

impl Layout {
    /// A count: exact in wide, three to four digits otherwise (`9999`, `12.3k`, `1.2M`).
    pub fn count(self, count: u64) -> String {
        match self {
            Self::Table => rounded(count),
            Self::Wide => count.to_string(),
        }
    }

    /// A duration: exact in wide (`7440s`), its two largest units otherwise (`2h4m`).
    pub fn seconds(self, seconds: u64) -> String {
        match self {
            Self::Table => two_units(seconds),
            Self::Wide => format!("{seconds}s"),
        }
    }
}

/// Rounds down, so that a full table never looks fuller than it is.
fn rounded(count: u64) -> String {
    const UNITS: [(u64, char); 5] = [
        (1_000_000_000_000_000, 'P'),
        (1_000_000_000_000, 'T'),
        (1_000_000_000, 'G'),
        (1_000_000, 'M'),
        (1_000, 'k'),
    ];
    if count < 10_000 {
        return count.to_string();
    }
    UNITS.into_iter().find(|(unit, _)| count >= *unit).map_or_else(
        || count.to_string(),
        |(unit, letter)| format!("{}.{}{letter}", count / unit, count % unit / (unit / 10)),
    )
}

fn two_units(seconds: u64) -> String {
    const UNITS: [(u64, char); 4] = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
    let mut text = String::new();
    let mut rest = seconds;
    let largest = UNITS.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(3);
    for (unit, letter) in UNITS.into_iter().skip(largest).take(2) {
        if rest >= unit || text.is_empty() {
            // Writing to a String does not fail.
            let _ = write!(text, "{}{letter}", rest / unit);
        }
        rest %= unit;
    }
    text
}

/// A value that may be missing: `-` when it is.
pub fn or_dash<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Several values in one cell; `-` when there is none.
pub fn list(items: &[String]) -> String {
    or_dash((!items.is_empty()).then(|| printable(&items.join(",")).into_owned()))
}

/// Shares in percent with one decimal.
pub fn percent(part: u64, whole: u64) -> String {
    let permille = (u128::from(part) * 1000).checked_div(u128::from(whole)).unwrap_or(0);
    format!("{}.{}%", permille / 10, permille % 10)
}

/// A state with its reason, if there is one: `down: connection refused`.
pub fn with_reason(state: impl Display, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("{state}: {}", printable(reason)),
        None => state.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_up_to_four_digits_then_rounded_down() {
        let shown = [0, 9_999, 10_000, 12_399, 999_999, 1_250_000, 4_200_000_000, u64::MAX]
            .map(|count| Layout::Table.count(count));
        assert_eq!(shown, ["0", "9999", "10.0k", "12.3k", "999.9k", "1.2M", "4.2G", "18446.7P"]);
        assert_eq!(Layout::Wide.count(u64::MAX), "18446744073709551615");
    }

    #[test]
    fn durations_show_their_two_largest_units() {
        let shown = [0, 59, 60, 61, 3_600, 7_440, 86_400, 90_061, 86_401, 86_400 * 400]
            .map(|seconds| Layout::Table.seconds(seconds));
        assert_eq!(shown, ["0s", "59s", "1m", "1m1s", "1h", "2h4m", "1d", "1d1h", "1d", "400d"]);
        assert_eq!(Layout::Wide.seconds(7_440), "7440s");
    }

    #[test]
    fn what_a_terminal_might_obey_is_escaped() {
        assert_eq!(printable("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(printable("\r\n\t\u{7f}\u{9b}"), "\\u{d}\\u{a}\\u{9}\\u{7f}\\u{9b}");
        assert_eq!(printable("\u{202e}\u{2066}\u{2028}"), "\\u{202e}\\u{2066}\\u{2028}");
        assert!(matches!(printable("größe-1"), Cow::Borrowed("größe-1")));
    }

    #[test]
    fn percent_of_nothing_is_nothing() {
        assert_eq!(percent(0, 0), "0.0%");
        assert_eq!(percent(1, 3), "33.3%");
        assert_eq!(percent(u64::MAX, u64::MAX), "100.0%");
    }
}
