//! `xtask tidy`: rules that a reader would have to enforce otherwise.
//!
//! Clippy keeps functions under 70 lines; here files are kept under 800, scripts under 60, and
//! every crate starts with a page that says what it is.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{fs, str};

use anyhow::{Context, Result, ensure};
use spillway_tests::programs;

/// Lines of a Rust or C file, tests included.
const FILE_LINES_MAX: usize = 800;
/// Lines of a script: more belongs here.
const SCRIPT_LINES_MAX: usize = 60;
/// Lines of the page at the start of a crate.
const PAGE_LINES_MIN: usize = 3;

/// Looks at every file that git knows, or would take.
pub(crate) fn run() -> Result<ExitCode> {
    let root = programs::root();
    let mut findings = Vec::new();
    let files = files(&root)?;
    for file in &files {
        // A file may have been deleted and not yet committed.
        let Ok(bytes) = fs::read(root.join(file)) else { continue };
        let Ok(text) = str::from_utf8(&bytes) else { continue };
        findings.extend(judge(file, text));
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

fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = git.output().context("start git")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = str::from_utf8(&output.stdout).context("a file name is not UTF-8")?;
    Ok(names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect())
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
