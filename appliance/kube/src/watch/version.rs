//! The resourceVersion of an object or a list: a number that only grows, when it is one. Pure.
//!
//! Comparable since Kubernetes 1.35 (KEP-5504); etcd's revisions were numbers all along. What is not a plain
//! decimal number tells nothing, and nothing is concluded from it.

/// A resourceVersion, as far as it can be compared.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version(Option<u128>);

impl Version {
    /// Of an object that did not come from a watch, such as one from the cache.
    pub(crate) const UNKNOWN: Self = Self(None);

    pub(crate) fn parse(text: &str) -> Self {
        let plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        Self(plain.then(|| text.parse().ok()).flatten())
    }

    /// Certainly older; `false` when one of the two says nothing.
    pub(crate) fn is_before(self, other: Self) -> bool {
        matches!((self.0, other.0), (Some(this), Some(other)) if this < other)
    }

    /// Certainly the same.
    pub(crate) fn is_same(self, other: Self) -> bool {
        matches!((self.0, other.0), (Some(this), Some(other)) if this == other)
    }

    pub(crate) fn is_known(self) -> bool {
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_as_numbers_and_not_as_text() {
        assert!(Version::parse("9").is_before(Version::parse("10")));
        assert!(!Version::parse("10").is_before(Version::parse("9")));
        assert!(Version::parse("10").is_same(Version::parse("10")));
    }

    #[test]
    fn what_is_no_number_tells_nothing() {
        for odd in ["", "0", "007", "abc", "-1", "+1", "1e3", "٣", "1 "] {
            let odd = Version::parse(odd);
            assert!(!odd.is_known());
            assert!(!odd.is_before(Version::parse("5")) && !Version::parse("5").is_before(odd));
            assert!(!odd.is_same(odd));
        }
    }
}
