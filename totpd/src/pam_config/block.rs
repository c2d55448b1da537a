//! The marked block that `totpd pam enable` puts into a service file.
//!
//! ```text
//! # BEGIN totpd (totpd pam enable sudo --mode require): change it with totpd pam
//! #- @include common-auth
//! auth    substack    common-auth
//! auth    required    pam_totp.so
//! # END totpd
//! ```
//!
//! A line that the block replaces is kept in it as a comment, so that [`strip`] needs nothing but
//! the file.

use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter};

const BEGIN: &str = "# BEGIN totpd (totpd pam enable ";
const BEGIN_END: &str = "): change it with totpd pam";
const END: &str = "# END totpd";
/// The prefix of a line that the block replaces.
const REPLACED: &str = "#- ";

/// How a service asks for the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The code is asked for whatever the first factor said; nobody is exempt
    Require,
    /// The code is asked for after a first factor that succeeded; rules may exempt, remember or
    /// enroll
    Rules,
    /// The code is asked for, and the answer decides nothing
    Monitor,
}

impl Mode {
    /// The mode as it is written on the command line and in a block.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Require => "require",
            Self::Rules => "rules",
            Self::Monitor => "monitor",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Require, Self::Rules, Self::Monitor].into_iter().find(|mode| mode.as_str() == word)
    }
}

impl Display for Mode {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A block of totpd in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The number of its first line, from 1.
    pub first: usize,
    /// The number of its last line.
    pub last: usize,
    /// The service that its first line names.
    pub service: String,
    /// How it asks for the code.
    pub mode: Mode,
}

/// Finds the blocks of a file.
///
/// # Errors
/// Which block is damaged, and where.
pub fn find(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in text.lines().enumerate() {
        let (number, line) = (index + 1, line.trim_end());
        if line == END {
            let begun = open.take();
            let block = begun.ok_or_else(|| format!("line {number} ends a block that has no beginning"))?;
            blocks.push(Block { last: number, ..block });
        } else if line.starts_with("# BEGIN totpd") {
            if let Some(block) = &open {
                return Err(format!("the block that begins in line {} has no \"{END}\"", block.first));
            }
            let words = line.strip_prefix(BEGIN).and_then(|line| line.strip_suffix(BEGIN_END));
            let parsed = words.and_then(|words| {
                let (service, mode) = words.split_once(" --mode ")?;
                Some((service.to_owned(), Mode::parse(mode)?))
            });
            let (service, mode) =
                parsed.ok_or_else(|| format!("line {number} begins a block that was edited by hand"))?;
            open = Some(Block { first: number, last: number, service, mode });
        }
    }
    match open {
        Some(block) => Err(format!("the block that begins in line {} has no \"{END}\"", block.first)),
        None => Ok(blocks),
    }
}

/// The text without its blocks, and with the lines that they replaced.
///
/// # Errors
/// As [`find`].
pub fn strip(text: &str) -> Result<String, String> {
    let blocks = find(text)?;
    let mut result = String::with_capacity(text.len());
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let inside = blocks.iter().any(|block| (block.first..=block.last).contains(&(index + 1)));
        if !inside {
            result.push_str(line);
        } else if let Some(line) = line.strip_prefix(REPLACED) {
            result.push_str(line);
        }
    }
    Ok(result)
}

/// Where a block is inserted. Lines count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// In place of this line, which the block keeps as a comment.
    Replace(usize),
    /// After this line.
    After(usize),
    /// Before this line.
    Before(usize),
}

/// The text with a block of these lines.
pub fn insert(text: &str, position: Position, service: &str, mode: Mode, lines: &[String]) -> String {
    let (Position::Replace(number) | Position::After(number) | Position::Before(number)) = position;
    let mut result = String::with_capacity(text.len() + 256);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let here = index + 1 == number;
        if !here || matches!(position, Position::After(_)) {
            result.push_str(line);
        }
        if !here {
            continue;
        }
        if !result.is_empty() && !result.ends_with('\n') {
            result.push('\n');
        }
        result.push_str(&format!("{BEGIN}{service} --mode {mode}{BEGIN_END}\n"));
        if matches!(position, Position::Replace(_)) {
            result.push_str(&format!("{REPLACED}{}\n", line.trim_end_matches('\n')));
        }
        for line in lines {
            result.push_str(line);
            result.push('\n');
        }
        result.push_str(END);
        result.push('\n');
        if matches!(position, Position::Before(_)) {
            result.push_str(line);
        }
    }
    result
}

/// The text of a file that is one block: the sshd drop-in.
pub fn whole(service: &str, mode: Mode, lines: &[String]) -> String {
    format!("{BEGIN}{service} --mode {mode}{BEGIN_END}\n{}\n{END}\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUDO: &str =
        "#%PAM-1.0\n\nsession required pam_limits.so\n\n@include common-auth\n@include common-account\n";

    fn lines() -> Vec<String> {
        vec!["auth substack common-auth".into(), "auth required pam_totp.so".into()]
    }

    #[test]
    fn an_inserted_block_is_found_and_stripped_again() {
        for position in [
            Position::Replace(5),
            Position::After(5),
            Position::After(6),
            Position::Replace(1),
            Position::Before(1),
            Position::Before(6),
        ] {
            let with = insert(SUDO, position, "sudo", Mode::Rules, &lines());
            let found = find(&with).unwrap();
            assert_eq!(found.len(), 1, "{with}");
            assert_eq!((found[0].service.as_str(), found[0].mode), ("sudo", Mode::Rules));
            assert_eq!(strip(&with).unwrap(), SUDO);
        }
        assert_eq!(strip(SUDO).unwrap(), SUDO);
        assert_eq!(strip(&whole("sshd", Mode::Require, &lines())).unwrap(), "");
    }

    #[test]
    fn later_edits_around_a_block_stay() {
        let with = insert(SUDO, Position::Replace(5), "sudo", Mode::Require, &lines());
        let edited = format!("# mine\n{with}auth optional pam_mine.so\n");
        assert_eq!(strip(&edited).unwrap(), format!("# mine\n{SUDO}auth optional pam_mine.so\n"));
    }

    #[test]
    fn a_damaged_block_is_named_by_its_line() {
        let with = insert(SUDO, Position::Replace(5), "sudo", Mode::Require, &lines());
        assert!(find(&with.replace("# END totpd\n", "")).unwrap_err().contains("line 5 has no"));
        assert!(find(&with.replace("--mode require", "--mode all")).unwrap_err().contains("line 5"));
        assert!(find("# END totpd\n").unwrap_err().contains("line 1"));
        assert!(strip(&format!("{with}{}", with.replace("# END totpd\n", ""))).is_err());
    }

    proptest::proptest! {
        #[test]
        fn stripping_gives_back_every_byte(text in "([a-z #@]{0,20}\n){1,9}", at in 1_usize..9, which in 0..3) {
            proptest::prop_assume!(!text.contains("# BEGIN totpd"));
            let position = match which {
                0 => Position::Replace(at),
                1 => Position::After(at),
                _ => Position::Before(at),
            };
            let with = insert(&text, position, "sudo", Mode::Monitor, &lines());
            proptest::prop_assert_eq!(strip(&with).unwrap(), text);
        }
    }
}
