//! Foreign text in our own messages.

use std::fmt;

/// Longest piece of foreign text in a message, in characters.
const CHARS_MAX: usize = 120;

/// Text that somebody else wrote, cut to a line, control characters escaped: it cannot move a terminal's cursor or
/// add a line to a log.
#[derive(Copy, Clone, Debug)]
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for char in chars.by_ref().take(CHARS_MAX) {
            if char.is_control()
                || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            {
                write!(f, "{}", char.escape_unicode())?;
            } else {
                write!(f, "{char}")?;
            }
        }
        if chars.next().is_some() {
            f.write_str("...")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_on_its_line() {
        assert_eq!(Shown("a\nb\u{1b}[2J\u{202e}c").to_string(), "a\\u{a}b\\u{1b}[2J\\u{202e}c");
    }

    #[test]
    fn long_foreign_text_is_cut() {
        let shown = Shown(&"x".repeat(1000)).to_string();
        assert_eq!(shown.len(), CHARS_MAX + 3);
        assert!(shown.ends_with("..."));
    }
}
