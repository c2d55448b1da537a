//! `totpd import otpauth` and `totpd import csv`: lists of apps, password managers and vendors.

use super::{KEY, accepts, phone, wait_out};
use totpd_e2e::Site;

#[test]
fn the_links_that_totpd_itself_makes_are_imported() {
    let site = Site::new();
    let document = site.totpd(&["enroll", "alice", "--json"]).assert_success().json();
    let phone = totpd_e2e::phone::Phone::from(&document);
    site.totpd(&["revoke", "alice"]).assert_success();
    let list = format!("{}\notpauth://hotp/bob?secret={KEY}&counter=1\n", phone.uri);
    let finished = site.totpd_with(&["import", "otpauth", "-"], &list);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stdout.contains("alice: imported from line 1"), "{finished:?}");
    assert!(finished.stdout.contains("line 2 of standard input: refused: its codes are counter-based"));
    assert!(!finished.stdout.contains(KEY) && !finished.stdout.contains(&phone.secret));
    wait_out(&site);
    assert!(accepts(&site, "alice", &phone.code(&site)));
}

#[test]
fn a_table_of_tokens_waits_for_each_tokens_first_code() {
    let site = Site::new();
    let table = format!("user,secret,period\nalice,{KEY},30\nbob,{KEY},5\nno-such-user,{KEY},30\n");
    let finished = site.totpd_with(&["import", "csv", "-", "--expires", "14d", "--json"], &table);
    assert_eq!(finished.code, 1, "{finished:?}");
    let report = finished.json();
    let results: Vec<&str> =
        report["entries"].as_array().unwrap().iter().map(|entry| entry["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["imported", "refused", "refused"]);
    assert!(report["entries"][1]["why"].as_str().unwrap().contains("15 to 120 seconds"), "{report}");
    assert_eq!(site.status("alice")["state"], "pending");
    wait_out(&site);
    assert!(accepts(&site, "alice", &phone().code(&site)));
    assert_eq!(site.status("alice")["state"], "active");
    let homes = site.totpd(&["import", "csv", "--all-users"]);
    assert!(homes.code == 2 && homes.stderr.contains("--home-file"), "{homes:?}");
}

#[test]
fn a_list_without_end_takes_little_memory_and_changes_nothing() {
    let site = Site::new();
    let (totpd, config) = (totpd_e2e::paths::totpd(), site.path("etc/totpd/totpd.toml"));
    let row = format!("alice,{KEY}");
    for (input, format, why) in [
        ("cat /dev/zero", "csv", "64 MiB"),
        (&*format!("yes {row}"), "csv", "64 MiB"),
        ("yes x | head -n 600000", "otpauth", "500000 lines"),
        ("yes '<a>'", "pskc", "64 MiB"),
        ("yes '<a/>' | head -c 17000000", "pskc", "16 MiB"),
    ] {
        let mut shell = site.command("bash");
        let import = format!("{} --config {} import {format} -", totpd.display(), config.display());
        // In KiB: half a gigabyte of addresses.
        shell.arg("-c").arg(format!("ulimit -v 524288; {input} | {import}"));
        let refused = totpd_e2e::run::run(shell, "");
        assert!(refused.code == 1 && refused.stdout.contains(why), "{input}: {refused:?}");
    }
    assert_eq!(site.status("alice")["state"], "none");
}
