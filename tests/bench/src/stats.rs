//! Median, minimum and maximum: with a handful of rounds, nothing finer says anything.

use std::fmt;

use serde::Serialize;

/// What the rounds gave, in one line.
#[derive(Copy, Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// All zero for no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
        let (middle, last) = (values.len() / 2, values.len().saturating_sub(1));
        let median = if values.len() % 2 == 1 {
            at(middle)
        } else {
            f64::midpoint(at(middle.saturating_sub(1)), at(middle))
        };
        Self { median, min: at(0), max: at(last) }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = f.precision().unwrap_or(1);
        let Self { median, min, max } = self;
        let text = format!("{median:.places$} ({min:.places$}..{max:.places$})");
        // Not `pad`, which takes the precision for a length.
        let width = f.width().unwrap_or(0);
        write!(f, "{text:>width$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let summary = Summary::of([4.0, 1.0, 3.0, 10.0]);
        assert_eq!(summary, Summary { median: 3.5, min: 1.0, max: 10.0 });
        let odd = Summary::of([2.0, 9.0, 1.0]);
        assert_eq!(odd, Summary { median: 2.0, min: 1.0, max: 9.0 });
        assert_eq!(Summary::of([]), Summary { median: 0.0, min: 0.0, max: 0.0 });
        assert_eq!(format!("{summary:>20.2}"), "  3.50 (1.00..10.00)");
    }
}
