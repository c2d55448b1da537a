//! Directories: other spellings, second names, and those that hang or fail.

use super::{PROOF, login, service};
use site::Site;
use site::pamhost::{PamHost, code, result};
use site::phone::Phone;
use site::run::Running;
use std::io::BufRead;

/// A directory whose names have no case, as SSSD's has for Active Directory: ALICE is alice.
fn caseless(site: &Site) {
    let source = r#"
#include <nss.h>
#include <pwd.h>
#include <string.h>
#include <stddef.h>
enum nss_status _nss_fold_getpwnam_r(const char *n, struct passwd *p, char *b, size_t l, int *e) {
    if (strcasecmp(n, "alice") != 0) return NSS_STATUS_NOTFOUND;
    strcpy(b, "alice");
    p->pw_name = b; p->pw_passwd = "x"; p->pw_uid = 5001; p->pw_gid = 5001;
    p->pw_gecos = ""; p->pw_dir = "/home/alice"; p->pw_shell = "/bin/sh";
    return NSS_STATUS_SUCCESS;
}
"#;
    site::directory::put(site, "fold", source, "passwd: files fold\ngroup: files\nshadow: files\n");
    site::directory::start(site);
}

#[test]
fn an_uppercase_name_of_an_enrolled_user_is_offered_no_factor() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    caseless(&site);
    service(&site);
    site.enroll("alice");
    site.configure("[login]\nshow_secrets_services = [\"x\"]\n[[login.rule]]\naction = \"enroll\"\n");
    let mut thief = PamHost::new(&site, "x", "ALICE").option(PROOF).start();
    let mut lines = std::io::BufReader::new(thief.0.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("prompt: ") {
        assert!(lines.read_line(&mut shown).unwrap() > 0, "{shown}");
    }
    let key = shown.lines().find_map(|line| line.split_once("Or type this key:  "));
    let Some((_, key)) = key else { return };
    let phone = Phone { secret: key.trim().replace(' ', ""), recovery_codes: vec![], uri: String::new() };
    thief.say(&format!("{}\n", phone.code(&site)));
    shown.clear();
    while !shown.contains("to finish: ") {
        assert!(lines.read_line(&mut shown).unwrap() > 0, "{shown}");
    }
    let word = shown.split_whitespace().find(|w| w.len() == 19 && w.matches('-').count() == 3).unwrap();
    thief.say(&format!("{word}\n"));
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut lines, &mut rest).unwrap();
    panic!("ALICE (uid 5001) was given a factor and let in: {rest} {}", site.last_login());
}

#[test]
fn an_uppercase_name_meets_the_rules_of_its_user() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    caseless(&site);
    service(&site);
    site.enroll("alice");
    site.configure(
        "[[login.rule]]\nusers = [\"alice\"]\naction = \"require\"\n\
         [[login.rule]]\naction = \"require\"\nmode = \"monitor\"\n",
    );
    let as_written = |user: &str| PamHost::new(&site, "x", user).option(PROOF).authenticate("000000\n");
    assert_eq!(as_written("alice"), code::AUTH_ERR);
    assert_eq!(as_written("ALICE"), code::AUTH_ERR);
}

#[test]
fn a_second_name_of_an_enrolled_uid_is_offered_no_factor() {
    let site = Site::new();
    service(&site);
    let passwd = std::fs::read_to_string(site.path("etc/passwd")).unwrap();
    site.write("etc/passwd", &format!("{passwd}alice@corp:x:5001:5001::/home/alice:/bin/sh\n"));
    site.enroll("alice");
    site.configure("[login]\nshow_secrets_services = [\"x\"]\n[[login.rule]]\naction = \"enroll\"\n");
    let finished = PamHost::new(&site, "x", "alice@corp")
        .option(PROOF)
        .run(&["authenticate"], "000000\n000000\n000000\n");
    assert!(!finished.stdout.contains("Or type this key"), "{}", finished.stdout);
}

/// A directory that hangs.
pub(crate) fn hung(site: &Site) {
    let source = r"
#include <nss.h>
#include <pwd.h>
#include <grp.h>
#include <unistd.h>
enum nss_status _nss_hang_getpwnam_r(const char *n, struct passwd *p, char *b, size_t l, int *e) { sleep(40); return NSS_STATUS_UNAVAIL; }
enum nss_status _nss_hang_initgroups_dyn(const char *u, gid_t g, long *s, long *z, gid_t **gs, long m, int *e) { sleep(40); return NSS_STATUS_UNAVAIL; }
enum nss_status _nss_hang_getgrnam_r(const char *n, struct group *g, char *b, size_t l, int *e) { sleep(40); return NSS_STATUS_UNAVAIL; }
";
    site::directory::put(site, "hang", source, "passwd: files hang\ngroup: files hang\nshadow: files\n");
}

#[test]
fn local_groups_work_while_a_directory_hangs() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    hung(&site);
    site::directory::start(&site);
    service(&site);
    let phone = site.enroll("alice");
    assert_eq!(login(&site, "alice", &phone.code(&site)), code::SUCCESS, "without a rule");
    site.next_step();
    // shadow is a group of /etc/group, and alice a user of /etc/passwd.
    site.configure("[[login.rule]]\ngroups = [\"shadow\"]\naction = \"exempt\"\n");
    assert_eq!(login(&site, "alice", &phone.code(&site)), code::SUCCESS, "with a rule about a local group");
}

#[test]
fn break_glass_opens_at_once_while_a_directory_hangs() {
    let site = Site::without_daemon();
    hung(&site);
    let mut command = site.totpd_command();
    command.env("LD_LIBRARY_PATH", &site.root).args([
        "breakglass",
        "carol",
        "--directory-user",
        "--for",
        "1m",
        "--json",
    ]);
    let mut responder = Running::start(command);
    let (done, ended) = std::sync::mpsc::channel();
    let stdout = responder.0.stdout.take().unwrap();
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = std::io::BufReader::new(stdout).read_line(&mut line);
        let _ = done.send(line);
    });
    let line = ended.recv_timeout(std::time::Duration::from_secs(10));
    assert!(line.as_ref().is_ok_and(|line| line.contains("code")), "{line:?}");
}

/// A directory that knows that alice is an administrator, until the file `down` is there: then it is unavailable.
fn directory_with_groups(site: &Site) {
    let source = r#"
#include <nss.h>
#include <grp.h>
#include <errno.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>
static int down(void) { return access(DOWN, F_OK) == 0; }
enum nss_status _nss_dir_initgroups_dyn(const char *u, gid_t g, long *s, long *z, gid_t **gs, long m, int *e) {
    if (down()) { *e = ECONNREFUSED; return NSS_STATUS_UNAVAIL; }
    if (strcmp(u, "alice") != 0) return NSS_STATUS_NOTFOUND;
    if (*s == *z) { *z *= 2; *gs = realloc(*gs, *z * sizeof(gid_t)); }
    (*gs)[(*s)++] = 7777;
    return NSS_STATUS_SUCCESS;
}
static char *nobody[] = { NULL };
enum nss_status _nss_dir_getgrnam_r(const char *n, struct group *g, char *b, size_t l, int *e) {
    if (down()) { *e = ECONNREFUSED; return NSS_STATUS_UNAVAIL; }
    if (strcmp(n, "admins") != 0) return NSS_STATUS_NOTFOUND;
    g->gr_name = "admins"; g->gr_passwd = "x"; g->gr_gid = 7777; g->gr_mem = nobody;
    return NSS_STATUS_SUCCESS;
}
"#;
    let down = format!("\"{}\"", site.path("down").display());
    let source = source.replace("DOWN", &down);
    site::directory::put(site, "dir", &source, "passwd: files\ngroup: files dir\nshadow: files\n");
    site::directory::start(site);
}

#[test]
fn an_unavailable_directory_never_demotes_an_administrator() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    directory_with_groups(&site);
    service(&site);
    site.enroll("alice");
    // The rollout as one does it: administrators first, everybody else is watched.
    site.configure(
        "[[login.rule]]\ngroups = [\"admins\"]\naction = \"require\"\n\
         [[login.rule]]\naction = \"require\"\nmode = \"monitor\"\n",
    );
    let thief = || PamHost::new(&site, "x", "alice").option(PROOF).run(&["authenticate"], "000000\n");
    assert_eq!(result(&thief(), "authenticate"), code::AUTH_ERR, "the directory answers");
    site.write("down", "");
    thief();
    assert_ne!(site.last_login()["outcome"], "exempt", "{}", site.last_login());
}
