//! "Did you mean": the closest of the words that would have been right.

/// The candidate that is closest to `word`, if it is close enough to have been meant: at most one
/// slip of the finger in three characters.
pub(super) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    let slips_max = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// Help for a word that is not among `candidates`.
pub(super) fn help<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    if let Some(meant) = closest(word, candidates.clone()) {
        return Some(format!("did you mean `{meant}`?"));
    }
    let known: Vec<&str> = candidates.into_iter().collect();
    if known.is_empty() { None } else { Some(format!("known here: {}", known.join(", "))) }
}

/// Edit distance with insertions, deletions, substitutions and swaps of neighbours (optimal string
/// alignment).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut a_last = None;
    for (row, a_char) in a.chars().enumerate() {
        let mut current = vec![row + 1];
        let mut b_last = None;
        for (column, &b_char) in b.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX);
            let mut cost = (at(&above, column) + usize::from(a_char != b_char))
                .min(at(&above, column + 1) + 1)
                .min(at(&current, column) + 1);
            if a_last == Some(b_char) && b_last == Some(a_char) && column > 0 {
                cost = cost.min(at(&before, column - 1).saturating_add(1));
            }
            current.push(cost);
            b_last = Some(b_char);
        }
        a_last = Some(a_char);
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_each_slip_once() {
        let cases = [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("", "abc", 3),
            ("abc", "axc", 1),
            ("abc", "ac", 1),
            ("ac", "abc", 1),
            ("abcd", "acbd", 1),
            ("kitten", "sitting", 3),
        ];
        for (a, b, expected) in cases {
            assert_eq!(distance(a, b), expected, "{a} / {b}");
        }
    }

    #[test]
    fn a_typo_finds_its_word_and_a_stranger_does_not() {
        let keys = ["scheduler", "backends", "frontends", "no_backend"];
        assert_eq!(closest("schedular", keys), Some("scheduler"));
        assert_eq!(closest("Backend", keys), Some("backends"));
        assert_eq!(closest("colour", keys), None);
    }

    #[test]
    fn without_a_close_word_all_known_ones_are_listed() {
        assert_eq!(help("colour", ["a1", "b2"]).as_deref(), Some("known here: a1, b2"));
        assert_eq!(help("colour", []), None);
    }
}
