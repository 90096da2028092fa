//! What is wrong in a configuration, where it stands, and how it is shown.

use std::fmt;
use std::path::PathBuf;

/// Every mistake of one [`super::load`], in the order of the layers and then of their lines.
/// Never empty when it is an error. [`fmt::Display`] prints them all, with source lines and a count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Names the object and what is wrong with it; one line, no full stop.
    pub message: String,
    /// What would put it right.
    pub help: Option<String>,
    pub place: Place,
    /// Text of the line that `place` is in; for a variable or a flag, `KEY=value`.
    pub source_line: String,
}

/// Where a mistake stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub origin: Origin,
    /// From 1; 0 when the mistake is about the origin as a whole (a file that cannot be read, a
    /// section that is nowhere).
    pub line: usize,
    /// From 1, in characters; 0 as for `line`.
    pub column: usize,
    /// Characters from `column` on that are marked, within the line; 0 as for `line`.
    pub length: usize,
}

/// What a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// As the caller named it.
    File(PathBuf),
    /// Name of the variable.
    Environment(String),
    /// Key that the flag sets, as given.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::Flag(key) => write!(f, "flag --set {key}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(path) if self.line > 0 => {
                write!(f, "{}:{}:{}", path.display(), self.line, self.column)
            }
            Origin::File(_) | Origin::Environment(_) | Origin::Flag(_) => self.origin.fmt(f),
        }
    }
}

/// The form of a Rust compiler's message, which every editor can jump from.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        let place = &self.place;
        let number = match place.origin {
            Origin::File(_) => place.line.to_string(),
            Origin::Environment(_) | Origin::Flag(_) => String::new(),
        };
        let margin = " ".repeat(number.len().max(1));
        writeln!(f, "{margin}--> {place}")?;
        if place.line > 0 {
            writeln!(f, "{margin} |")?;
            writeln!(f, "{number:>width$} | {}", self.source_line, width = margin.len())?;
            // Tabs are kept, so that the marker stands under its text at any tab width.
            let before = self.source_line.chars().take(place.column.saturating_sub(1));
            let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            writeln!(f, "{margin} | {indent}{}", "^".repeat(place.length))?;
        }
        if let Some(help) = &self.help {
            writeln!(f, "{margin} = help: {help}")?;
        }
        Ok(())
    }
}

impl Mistakes {
    pub(super) const fn new(mistakes: Vec<Mistake>) -> Self {
        Self(mistakes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.0.iter()
    }

    pub fn as_slice(&self) -> &[Mistake] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Mistakes {
    type Item = &'a Mistake;
    type IntoIter = std::slice::Iter<'a, Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut origins: Vec<String> = Vec::new();
        for mistake in &self.0 {
            writeln!(f, "{mistake}")?;
            let origin = mistake.place.origin.to_string();
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        let noun = if self.0.len() == 1 { "mistake" } else { "mistakes" };
        write!(f, "{} {noun} in {}", self.0.len(), origins.join(", "))
    }
}

impl std::error::Error for Mistakes {}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(line: usize, column: usize, length: usize) -> Mistake {
        Mistake {
            message: "service \"web\": backend 10.0.1.72:80 is listed twice".into(),
            help: Some("remove one of them".into()),
            place: Place {
                origin: Origin::File("config/static.toml".into()),
                line,
                column,
                length,
            },
            source_line: "\tbackends = [\"10.0.1.72:80\"]".into(),
        }
    }

    #[test]
    fn a_mistake_is_shown_with_its_line_and_a_marker_under_it() {
        let text = mistake(142, 14, 14).to_string();
        let expected = "\
error: service \"web\": backend 10.0.1.72:80 is listed twice
   --> config/static.toml:142:14
    |
142 | \tbackends = [\"10.0.1.72:80\"]
    | \t            ^^^^^^^^^^^^^^
    = help: remove one of them
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_mistake_about_a_whole_file_shows_no_line() {
        let text = mistake(0, 0, 0).to_string();
        assert!(text.contains(" --> config/static.toml\n"), "{text}");
        assert!(!text.contains('|') && !text.contains('^'), "{text}");
    }

    #[test]
    fn mistakes_end_with_their_count_and_every_origin_once() {
        let mut other = mistake(1, 1, 1);
        other.place.origin = Origin::Environment("SPILLWAY__NAME".into());
        let all = Mistakes(vec![mistake(1, 1, 1), mistake(2, 1, 1), other]);
        let text = all.to_string();
        let end = "\n3 mistakes in config/static.toml, environment variable SPILLWAY__NAME";
        assert!(text.ends_with(end), "{text}");
        assert!(
            Mistakes(vec![mistake(1, 1, 1)])
                .to_string()
                .ends_with("\n1 mistake in config/static.toml")
        );
    }
}
