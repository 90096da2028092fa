//! Names that are handed to DPDK: checked once, so that none can break an argument list.

use std::ffi::CString;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("{what}: the name is empty")]
    Empty { what: &'static str },
    #[error("{what} {name:?}: {bytes} bytes, at most {max} are possible")]
    Long { what: &'static str, name: String, bytes: usize, max: usize },
    #[error(
        "{what} {name:?}: {character:?} is not possible here, only letters, digits and {extra:?}"
    )]
    Character { what: &'static str, name: String, character: char, extra: &'static str },
}

/// What a kind of name may be.
#[derive(Copy, Clone)]
pub(crate) struct Rule {
    /// What the name names, for messages.
    pub(crate) what: &'static str,
    /// Longest name in bytes.
    pub(crate) max: usize,
    /// Characters beside ASCII letters and digits.
    pub(crate) extra: &'static str,
}

impl Rule {
    pub(crate) fn check(self, name: &str) -> Result<(), NameError> {
        let Self { what, max, extra } = self;
        if name.is_empty() {
            return Err(NameError::Empty { what });
        }
        if name.len() > max {
            return Err(NameError::Long { what, name: name.to_owned(), bytes: name.len(), max });
        }
        match name.chars().find(|c| !c.is_ascii_alphanumeric() && !extra.contains(*c)) {
            Some(character) => {
                Err(NameError::Character { what, name: name.to_owned(), character, extra })
            }
            None => Ok(()),
        }
    }

    /// The name as C wants it.
    pub(crate) fn c_string(self, name: &str) -> Result<CString, NameError> {
        self.check(name)?;
        // No allowed character is NUL, so this cannot fail; the error says so if it ever does.
        CString::new(name).map_err(|_| NameError::Character {
            what: self.what,
            name: name.to_owned(),
            character: '\0',
            extra: self.extra,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { what: "pool", max: 4, extra: "-_" };

    #[test]
    fn letters_digits_and_the_extra_characters_pass() {
        assert_eq!(RULE.check("a-_9"), Ok(()));
    }

    #[test]
    fn an_empty_a_long_and_a_comma_name_are_refused_in_words() {
        assert!(RULE.check("").unwrap_err().to_string().contains("empty"));
        assert!(RULE.check("abcde").unwrap_err().to_string().contains("at most 4"));
        assert!(RULE.check("a,b").unwrap_err().to_string().contains("','"));
        assert!(RULE.check("a\0").is_err());
        assert!(RULE.check("ä").is_err());
    }
}
