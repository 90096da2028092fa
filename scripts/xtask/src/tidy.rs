//! `xtask tidy`: rules that a reader would have to enforce otherwise.
//!
//! Clippy keeps functions under 70 lines; here files are kept under 800, scripts under 60, and
//! every crate starts with a page that says what it is.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, str};

use anyhow::{Context, Result};
use spillway_tests::programs;

/// Lines of a Rust or C file, tests included.
const FILE_LINES_MAX: usize = 800;
/// Lines of a script: more belongs here.
const SCRIPT_LINES_MAX: usize = 60;
/// Lines of the page at the start of a crate.
const PAGE_LINES_MIN: usize = 3;

/// Folders that hold nothing of ours.
const SKIPPED: [&str; 2] = [".git", "target"];

/// Looks at every file of the repository.
pub(crate) fn run() -> Result<ExitCode> {
    let root = programs::root();
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    let mut findings = Vec::new();
    for file in &files {
        let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
        // Binary files have no lines.
        let Ok(text) = str::from_utf8(&bytes) else { continue };
        findings.extend(judge(file.strip_prefix(&root).unwrap_or(file), text));
    }
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if !findings.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    println!("tidy: {} files are in order", files.len());
    Ok(ExitCode::SUCCESS)
}

/// All files below a folder, in the order of their names.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type()?;
        let is_skipped = SKIPPED.iter().any(|name| entry.file_name() == *name);
        if kind.is_dir() && !is_skipped {
            collect(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn judge(file: &Path, text: &str) -> Vec<String> {
    let name = file.display();
    let lines = text.lines().count();
    let mut findings = Vec::new();
    let mut limit = |lines_max: usize, advice: &str| {
        if lines > lines_max {
            findings.push(format!("{name}: {lines} lines, more than {lines_max}: {advice}"));
        }
    };
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("rs" | "c" | "h") => limit(FILE_LINES_MAX, "give the second noun its own file"),
        Some("sh") => limit(SCRIPT_LINES_MAX, "move the logic into xtask"),
        _ if text.starts_with("#!") => limit(SCRIPT_LINES_MAX, "move the logic into xtask"),
        _ => {}
    }
    if is_crate_root(file) {
        let page = text.lines().take_while(|line| line.starts_with("//!")).count();
        if page < PAGE_LINES_MIN {
            findings.push(format!(
                "{name}: a crate starts with a page: what it is, what it never does"
            ));
        }
    }
    findings
}

/// A library's root, or a program's that has no library beside it.
fn is_crate_root(file: &Path) -> bool {
    file.ends_with("src/lib.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_found_and_a_short_one_is_not() {
        let short = "fn f() {}\n".repeat(FILE_LINES_MAX);
        assert!(judge(Path::new("src/a.rs"), &short).is_empty());
        let long = "fn f() {}\n".repeat(FILE_LINES_MAX + 1);
        assert_eq!(judge(Path::new("src/a.rs"), &long).len(), 1);
    }

    #[test]
    fn a_script_is_known_by_its_first_line() {
        let script = format!("#!/bin/sh\n{}", ":\n".repeat(SCRIPT_LINES_MAX));
        assert_eq!(judge(Path::new("scripts/x"), &script).len(), 1);
        assert!(judge(Path::new("notes"), &":\n".repeat(99)).is_empty());
    }

    #[test]
    fn a_crate_without_a_page_is_found() {
        assert_eq!(judge(Path::new("x/src/lib.rs"), "//! Hi.\npub mod a;\n").len(), 1);
        assert!(judge(Path::new("x/src/lib.rs"), "//! A\n//! B\n//! C\n").is_empty());
    }
}
