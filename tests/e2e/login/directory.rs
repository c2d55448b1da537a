//! User directories with other spellings and second names, and ones that hang or fail.

use std::time::{Duration, Instant};
use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, SSH_KEY, code, login, result};
use totpd_e2e::phone::{Phone, recovery_codes};
use totpd_e2e::run::Running;

/// Starts a daemon with a directory that ignores case, as SSSD does for Active Directory: ALICE is
/// alice.
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
    totpd_e2e::directory::install(site, "fold", source, "passwd: files fold\ngroup: files\nshadow: files\n");
    totpd_e2e::directory::start(site);
}

#[test]
fn an_uppercase_name_of_an_enrolled_user_is_offered_no_factor() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    caseless(&site);
    site.totp_service("x", "nodelay timeout=5");
    site.enroll("alice");
    site.configure("[login]\nshow_secrets_services = [\"x\"]\n[[login.rule]]\naction = \"enroll\"\n");
    let mut thief = PamHost::new(&site, "x", "ALICE").option(SSH_KEY).start();
    let shown = thief.read_until("prompt: ");
    let Some(phone) = Phone::from_shown(&shown) else { return };
    thief.say(&format!("{}\n", phone.code(&site)));
    let shown = thief.read_until("to finish: ");
    thief.say(&format!("{}\n", recovery_codes(&shown)[0]));
    let rest = thief.finish().stdout;
    panic!("ALICE (uid 5001) was given a factor and let in: {rest} {}", site.last_login());
}

#[test]
fn an_uppercase_name_meets_the_rules_of_its_user() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    caseless(&site);
    site.totp_service("x", "nodelay timeout=5");
    site.enroll("alice");
    site.configure(
        "[[login.rule]]\nusers = [\"alice\"]\naction = \"require\"\n\
         [[login.rule]]\naction = \"require\"\nmode = \"monitor\"\n",
    );
    let as_written = |user: &str| PamHost::new(&site, "x", user).option(SSH_KEY).answer("000000");
    assert_eq!(as_written("alice"), code::AUTH_ERR);
    assert_eq!(as_written("ALICE"), code::AUTH_ERR);
}

#[test]
fn a_second_name_of_an_enrolled_uid_is_offered_no_factor() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    site.append("etc/passwd", "alice@corp:x:5001:5001::/home/alice:/bin/sh\n");
    site.enroll("alice");
    site.configure("[login]\nshow_secrets_services = [\"x\"]\n[[login.rule]]\naction = \"enroll\"\n");
    let finished = PamHost::new(&site, "x", "alice@corp")
        .option(SSH_KEY)
        .run(&["authenticate"], "000000\n000000\n000000\n");
    assert!(!finished.stdout.contains("Or type this key"), "{}", finished.stdout);
}

#[test]
fn local_groups_work_while_a_directory_hangs() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    totpd_e2e::directory::install_hanging(&site);
    totpd_e2e::directory::start(&site);
    site.totp_service("x", "nodelay timeout=5");
    let phone = site.enroll("alice");
    assert_eq!(login(&site, "alice", &phone.code(&site)), code::SUCCESS, "without a rule");
    site.next_step();
    // shadow is in /etc/group, and alice in /etc/passwd.
    site.configure("[[login.rule]]\ngroups = [\"shadow\"]\naction = \"exempt\"\n");
    assert_eq!(login(&site, "alice", &phone.code(&site)), code::SUCCESS, "with a rule about a local group");
}

#[test]
fn break_glass_opens_at_once_while_a_directory_hangs() {
    let site = Site::without_daemon();
    totpd_e2e::directory::install_hanging(&site);
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
    let started = Instant::now();
    let line = responder.read_line();
    assert!(line.contains("code"), "{line}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

/// Starts a daemon with a directory in which alice is an administrator. It is unavailable while the
/// file `down` exists.
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
    totpd_e2e::directory::install(site, "dir", &source, "passwd: files\ngroup: files dir\nshadow: files\n");
    totpd_e2e::directory::start(site);
}

#[test]
fn an_unavailable_directory_never_demotes_an_administrator() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    directory_with_groups(&site);
    site.totp_service("x", "nodelay timeout=5");
    site.enroll("alice");
    // A usual rollout: administrators are required, everybody else is monitored.
    site.configure(
        "[[login.rule]]\ngroups = [\"admins\"]\naction = \"require\"\n\
         [[login.rule]]\naction = \"require\"\nmode = \"monitor\"\n",
    );
    let thief = || PamHost::new(&site, "x", "alice").option(SSH_KEY).run(&["authenticate"], "000000\n");
    assert_eq!(result(&thief(), "authenticate"), code::AUTH_ERR, "the directory answers");
    site.write("down", "");
    thief();
    assert_ne!(site.last_login()["outcome"], "exempt", "{}", site.last_login());
}
