//! Durations: a whole number and its unit.

use std::time::Duration;

use super::Wrong;

/// Units, largest first, in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// `500ms`, `2s`, `1m`, `1h`, `1d`.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = UNITS.iter().find(|(name, _)| *name == unit);
    let (Some((_, unit_ms)), false) = (unit, number.is_empty()) else {
        return Err(Wrong::with_help(
            format!("\"{text}\" is not a duration"),
            "a whole number and ms, s, m, h or d, such as \"500ms\" or \"2s\"",
        ));
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit_ms));
    ms.map(Duration::from_millis)
        .ok_or_else(|| Wrong::new(format!("\"{text}\" is too long a duration")))
}

/// As the operator would write it, in the largest unit that leaves no rest.
pub(in super::super) fn words(duration: Duration) -> String {
    let ms = duration.as_millis();
    let unit = UNITS.iter().find(|(_, unit_ms)| ms > 0 && ms.is_multiple_of(u128::from(*unit_ms)));
    match unit {
        Some((name, unit_ms)) => format!("{}{name}", ms / u128::from(*unit_ms)),
        None => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit_and_nothing_else() {
        let cases = [("0ms", 0), ("500ms", 500), ("2s", 2_000), ("1m", 60_000), ("1d", 86_400_000)];
        for (text, ms) in cases {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "2", "-2s", "2 s", "2s ", "1.5s", "2S", "2us", "٢s", "9e9s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("18446744073709551615d").is_err(), "overflow");
    }

    #[test]
    fn words_are_read_back_as_the_same_duration() {
        for (ms, expected) in [(0, "0ms"), (1, "1ms"), (1_500, "1500ms"), (7_200_000, "2h")] {
            let value = Duration::from_millis(ms);
            assert_eq!(words(value), expected);
            assert_eq!(duration(expected), Ok(value));
        }
    }
}
