//! Tests that the reference and the shipped file name exactly the keys of `totpd.toml`.

use super::{http, raw};
use std::collections::BTreeSet;

const REFERENCE: &str = include_str!("../../../docs/reference/configuration.md");
const MAN_PAGE: &str = include_str!("../../../docs/man/totpd.toml.5.md");
const SHIPPED: &str = include_str!("../../../config/totpd.toml");

/// The keys of a table that the program knows, from its error about an unknown key.
fn known(table: &str) -> BTreeSet<String> {
    let error = if table == "http" {
        http::check(toml::from_str("zzz = 1").unwrap()).unwrap_err()
    } else {
        let header = match table {
            "" => String::new(),
            "login.rule" | "trusted_peer" => format!("[[{table}]]"),
            _ => format!("[{table}]"),
        };
        toml::from_str::<raw::Raw>(&format!("{header}\nzzz = 1")).unwrap_err().message().to_owned()
    };
    let (_, expected) = error.split_once("expected ").unwrap();
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The keys in the reference below a heading.
fn written(heading: &str) -> BTreeSet<String> {
    let below = REFERENCE.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_default();
    let section = below.split("\n## ").next().unwrap_or_default();
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_reference_has_exactly_the_programs_keys() {
    let mut tables = known("");
    tables.retain(|key| REFERENCE.contains(&format!("[{key}]")));
    assert_eq!(written("Files and sockets"), &known("") - &tables);
    let mut rules = known("login");
    assert!(rules.remove("rule"));
    assert_eq!(written("`[login]`"), rules);
    assert_eq!(written("`[[login.rule]]`"), known("login.rule"));
    assert_eq!(written("`[[trusted_peer]]`"), known("trusted_peer"));
    for table in tables.iter().filter(|table| !["login", "trusted_peer"].contains(&table.as_str())) {
        assert_eq!(written(&format!("`[{table}]`")), known(table), "{table}");
    }
}

#[test]
fn every_key_is_in_the_man_page_and_the_shipped_file() {
    // The page includes these sections of the reference.
    for anchor in
        ["files-and-sockets", "store", "totp", "login", "loginrule", "history", "http", "trusted_peer"]
    {
        let link = format!("(../reference/configuration.md#{anchor})");
        assert!(MAN_PAGE.contains(&link), "docs/man/totpd.toml.5.md lacks {link}");
    }
    let sections = REFERENCE.matches("\n| key | meaning |\n").count();
    assert_eq!(sections, 8, "a new section of the reference must be in the man page too");
    for table in ["", "store", "totp", "login", "login.rule", "history", "http", "trusted_peer"] {
        for key in known(table) {
            let line = [
                format!("{key} = "),
                format!("# {key} = "),
                format!("[{key}]"),
                format!("[[{key}]]"),
                format!("[[{table}.{key}]]"),
            ];
            assert!(line.iter().any(|line| SHIPPED.contains(line)), "config/totpd.toml lacks {key}");
        }
    }
}
