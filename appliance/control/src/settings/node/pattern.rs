//! Names of devices, perhaps with a `*`.

use std::fmt;

/// The name of a device, in which each `*` stands for any number of characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(String);

impl Pattern {
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a device of this name is meant.
    pub fn matches(&self, name: &str) -> bool {
        let Some((head, rest)) = self.0.split_once('*') else { return self.0 == name };
        let Some(name) = name.strip_prefix(head) else { return false };
        let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(mut name) = name.strip_suffix(tail) else { return false };
        // Between the first and the last star the earliest place is as good as any.
        for part in middle.split('*') {
            let Some(at) = name.find(part) else { return false };
            name = name.get(at + part.len()..).unwrap_or_default();
        }
        true
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_number_of_characters_and_everything_else_is_itself() {
        let cases = [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth*", "eth0", true),
            ("eth*", "eth", true),
            ("eth*", "weth0", false),
            ("*", "anything", true),
            ("*_h", "lxc_h", true),
            ("*_h", "lxc_health", false),
            ("v*0*p", "veth0up", true),
            ("v*0*p", "veth1up", false),
            ("ab*ba", "aba", false),
            ("a*b*c*d", "a-b-c-d", true),
            ("a*b*c*d", "a-c-b-d", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(Pattern::new(pattern.into()).matches(name), expected, "{pattern} {name}");
        }
    }
}
