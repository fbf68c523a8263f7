//! Homebrew's replacements for programs that macOS protects.

use std::path::{Path, PathBuf};

/// Where Homebrew puts programs, on Apple silicon and on Intel.
const DIRECTORIES: [&str; 2] = ["/opt/homebrew/bin", "/usr/local/bin"];

/// Programs, and the formulae that install them under the same name.
const FORMULAE: [(&str, &str); 30] = [
    ("awk", "gawk"),
    ("bash", "bash"),
    ("bison", "bison"),
    ("curl", "curl"),
    ("flex", "flex"),
    ("g++", "gcc"),
    ("gcc", "gcc"),
    ("git", "git"),
    ("gzip", "gzip"),
    ("java", "openjdk"),
    ("jq", "jq"),
    ("less", "less"),
    ("make", "make"),
    ("nano", "nano"),
    ("node", "node"),
    ("npm", "node"),
    ("openssl", "openssl@3"),
    ("perl", "perl"),
    ("pip3", "python"),
    ("python", "python"),
    ("python3", "python"),
    ("rsync", "rsync"),
    ("ruby", "ruby"),
    ("sqlite3", "sqlite"),
    ("ssh", "openssh"),
    ("tar", "gnu-tar"),
    ("unzip", "unzip"),
    ("vim", "vim"),
    ("zip", "zip"),
    ("zsh", "zsh"),
];

/// What to do instead of starting a program that is not covered.
#[derive(Debug, PartialEq, Eq)]
pub enum Workaround {
    /// Start this program.
    Start(PathBuf),
    /// Install this formula.
    Install(&'static str),
}

/// What to do instead of starting `program`. `is_covered` tells whether a program exists and is
/// seen in full.
pub fn instead(program: &Path, is_covered: impl Fn(&Path) -> bool) -> Option<Workaround> {
    let name = program.file_name()?;
    let there = DIRECTORIES.iter().map(|directory| Path::new(directory).join(name));
    if let Some(path) = there.into_iter().find(|path| path != program && is_covered(path)) {
        return Some(Workaround::Start(path));
    }
    // Homebrew has no `sh`; bash runs its scripts.
    let name = match name.to_str()? {
        "sh" | "dash" => "bash",
        name => name,
    };
    let formula = FORMULAE.iter().find(|(program, _)| *program == name);
    formula.map(|(_, formula)| Workaround::Install(formula))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{FORMULAE, Workaround, instead};

    #[test]
    fn a_program_of_homebrew_goes_before_one_that_could_be_installed() {
        let silicon = |path: &Path| path.starts_with("/opt/homebrew");
        let intel = |path: &Path| path.starts_with("/usr/local");
        let git = Path::new("/usr/bin/git");
        let start = |path: &str| Some(Workaround::Start(path.into()));
        assert_eq!(instead(git, silicon), start("/opt/homebrew/bin/git"));
        assert_eq!(instead(git, intel), start("/usr/local/bin/git"));
        assert_eq!(instead(git, |_| true), start("/opt/homebrew/bin/git"));
        assert_eq!(instead(git, |_| false), Some(Workaround::Install("git")));
        // Not the program itself.
        assert_eq!(instead(Path::new("/opt/homebrew/bin/x"), silicon), None);
    }

    #[test]
    fn well_known_programs_have_a_formula() {
        for (program, formula) in [
            ("/usr/bin/python3", Some("python")),
            ("/bin/sh", Some("bash")),
            ("/usr/bin/make", Some("make")),
            ("/usr/bin/xcrun", None),
            ("/", None),
        ] {
            let found = instead(Path::new(program), |_| false);
            assert_eq!(found, formula.map(Workaround::Install), "{program}");
        }
        assert!(FORMULAE.is_sorted());
    }
}
