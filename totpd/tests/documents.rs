//! Tests that the documents name exactly the program's commands, options and arguments. The keys of
//! `totpd.toml` are compared in `totpd/src/config/documented.rs`.
#![expect(clippy::expect_used, reason = "a test that reads the project's own files")]

use clap::{Arg, Command, CommandFactory};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use totpd::cli::args::Args;

const COMMANDS: &str = include_str!("../../docs/reference/commands.md");
const PAM_MODULE: &str = include_str!("../../docs/reference/pam-module.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file of the project")
}

/// The text below a heading, up to the next `##` heading.
fn section<'a>(document: &'a str, heading: &str) -> Option<&'a str> {
    let start = format!("\n{heading}\n");
    let below = &document[document.find(&start)? + start.len()..];
    Some(below.split("\n## ").next().unwrap_or(below))
}

/// The words in backticks of the first cell of each row of a section's tables.
fn named_in_rows(section: &str) -> BTreeSet<String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The program's commands without subcommands, with their names as they are typed.
fn commands() -> Vec<(String, Command)> {
    fn walk(name: &str, command: &Command, found: &mut Vec<(String, Command)>) {
        let mut below = command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help");
        if command.has_subcommands() {
            below.by_ref().for_each(|c| walk(&format!("{name} {}", c.get_name()), c, found));
        } else {
            found.push((name.to_owned(), command.clone()));
        }
    }
    let mut program = Args::command();
    program.build();
    let mut found = Vec::new();
    walk("totpd", &program, &mut found);
    found
}

/// An option without the name of its value: `--since …` if it takes one.
fn shape(option: &str) -> String {
    option.split_once(' ').map_or_else(|| option.to_owned(), |(name, _)| format!("{name} …"))
}

/// The spellings of an option.
fn spellings(option: &Arg) -> Vec<String> {
    let value = if option.get_action().takes_values() { " …" } else { "" };
    let long = option.get_long().map(|long| format!("--{long}{value}"));
    let short = option.get_short().map(|short| format!("-{short}{value}"));
    long.into_iter().chain(short).collect()
}

/// Whether every command has this option, which is in a table of its own.
fn is_global(option: &Arg) -> bool {
    option.is_global_set() || ["help", "version"].contains(&option.get_id().as_str())
}

#[test]
fn the_reference_has_exactly_the_programs_commands() {
    let written: BTreeSet<&str> = COMMANDS
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .filter(|h| h.starts_with("totpd"))
        .collect();
    let there = commands();
    assert_eq!(written, there.iter().map(|(name, _)| name.as_str()).collect());
}

#[test]
fn the_reference_has_exactly_the_programs_options() {
    let global = section(COMMANDS, "## For every command").expect("the section");
    let program = commands().into_iter().next().expect("a command").1;
    let options: BTreeSet<String> =
        program.get_arguments().filter(|a| is_global(a)).flat_map(spellings).collect();
    assert_eq!(named_in_rows(global).iter().map(|o| shape(o)).collect::<BTreeSet<_>>(), options);

    for (name, command) in commands() {
        let text = section(COMMANDS, &format!("## {name}")).unwrap_or_default();
        let (positional, options): (Vec<_>, Vec<_>) = command
            .get_arguments()
            .filter(|a| !is_global(a) && !a.is_hide_set())
            .partition(|a| a.is_positional());
        let written = named_in_rows(text).iter().map(|option| shape(option)).collect::<BTreeSet<_>>();
        assert_eq!(written, options.into_iter().flat_map(spellings).collect(), "{name}");

        let usage = text.lines().find(|line| line.starts_with('`')).unwrap_or_default();
        assert!(usage.starts_with(&format!("`{name}")), "{name} has no usage: {usage}");
        for argument in positional {
            let id = argument.get_id().as_str().to_uppercase();
            assert!(usage.contains(id.trim_end_matches('S')), "{name}: the usage lacks {id}");
        }
    }
}

#[test]
fn every_command_has_its_options_in_a_man_page() {
    for (name, _) in commands() {
        // totpd pam enable: in totpd-pam(8), or else in totpd(8).
        let first = name.split(' ').nth(1).unwrap_or_default();
        let own = root().join(format!("docs/man/totpd-{first}.8.md"));
        let page = if own.exists() { own } else { root().join("docs/man/totpd.8.md") };
        let anchor = format!("(../reference/commands.md#{})", name.replace(' ', "-"));
        assert!(read(&page).contains(&anchor), "{} lacks {anchor}", page.display());
    }
}

/// Every Markdown document of the project.
fn documents() -> Vec<PathBuf> {
    fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder of the project") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && depth > 0 {
                walk(&path, depth - 1, found);
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), 0, &mut found);
    walk(&root().join("docs"), 4, &mut found);
    found.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    found.sort();
    found
}

/// The pieces of text in backticks, and the lines of code blocks.
fn code(document: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    for (index, part) in document.split("```").enumerate() {
        if index % 2 == 1 {
            pieces.extend(part.lines());
        } else {
            pieces.extend(part.split('`').skip(1).step_by(2));
        }
    }
    pieces
}

/// The mistakes in the totpd commands of a shell line.
fn mistakes(line: &str, program: &Command) -> Vec<String> {
    let commands = line.split(" #").next().unwrap_or_default();
    commands.split(['|', ';', '&', '>', '<', '"', ')']).filter_map(|one| mistake(one, program)).collect()
}

/// Why a command is not one of the program; `None` if it is one, or is not about totpd.
fn mistake(line: &str, program: &Command) -> Option<String> {
    let mut words = line.split_whitespace().skip_while(|word| *word != "totpd" && !word.ends_with("/totpd"));
    // `sudo -u totpd totpd …`
    let mut words = words.by_ref().skip_while(|word| word.ends_with("totpd")).peekable();
    // With a colon it is a message: `totpd doctor: error …`.
    let first = words.peek()?.trim_matches([',', '.']);
    if !first.chars().all(|c| c.is_ascii_lowercase() || c == '-') || first.starts_with('-') {
        return None;
    }
    let mut command = program;
    while let Some(next) =
        words.peek().and_then(|word| command.find_subcommand(word.trim_matches([',', '.'])))
    {
        command = next;
        words.next();
    }
    if command.get_name() == program.get_name() {
        return Some(format!("there is no command in: {}", line.trim()));
    }
    let known = command.get_arguments().flat_map(spellings).map(|option| option.replace(" …", ""));
    let known: BTreeSet<String> = known.collect();
    words
        .map(|word| word.trim_matches(['[', ']', ',', '.', '…']).split('=').next().unwrap_or_default())
        .filter(|word| word.starts_with('-') && word.len() > 1)
        .find(|word| !known.contains(*word))
        .map(|word| format!("{} has no {word}: {}", command.get_name(), line.trim()))
}

#[test]
fn every_command_line_in_a_document_is_one_of_the_program() {
    let mut program = Args::command();
    program.build();
    let mut found = Vec::new();
    for path in documents() {
        let text = read(&path);
        let wrong = code(&text).into_iter().flat_map(|line| mistakes(line, &program));
        found.extend(wrong.map(|why| format!("{}: {why}", path.display())));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(
        mistakes("sudo totpd enrol alice", &program),
        ["there is no command in: sudo totpd enrol alice"]
    );
    assert_eq!(
        mistakes("ls; /usr/bin/totpd enroll alice --tickets", &program),
        ["enroll has no --tickets: /usr/bin/totpd enroll alice --tickets"]
    );
}

#[test]
fn the_reference_has_exactly_the_modules_arguments() {
    // The two matches that read a word of the line: `Some(("timeout", …` and `"debug" => Some(…`.
    let places = ["totp_wire/src/pam_args.rs", "pam_totp/src/args.rs"].map(|place| root().join(place));
    let source =
        read(places.iter().find(|place| place.exists()).expect("the parser of the module's arguments"));
    let source = source.split("mod tests").next().unwrap_or_default();
    let mut there = BTreeSet::new();
    let mut in_tests_only = false;
    for line in source.lines().map(str::trim) {
        let word = line
            .strip_prefix("Some((\"")
            .or_else(|| line.strip_prefix('"').filter(|_| line.contains("\" => Some(")));
        let word = word.and_then(|rest| rest.split('"').next());
        if let Some(word) = word.filter(|_| !in_tests_only) {
            there.insert(word.to_owned());
        }
        in_tests_only = line.contains("fault_injection");
    }
    let table = section(PAM_MODULE, "## Arguments").expect("the section");
    let written: BTreeSet<String> =
        named_in_rows(table).iter().map(|a| a.split('=').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(written, there);
    assert!(there.len() >= 10, "{there:?}");
}
