//! The blocks for the lockers' files of Debian 12 and 13 and of Fedora, and what is refused.
//! Comments of the files are left out.

use super::super::plan::{Planned, also_asked, plan};
use super::super::trial::{Daemon, Field, cases};
use super::*;

const COMMON_AUTH: &str = "auth\t[success=1 default=ignore]\tpam_unix.so nullok\nauth\trequisite\t\t\tpam_deny.so\n\
                           auth\trequired\t\t\tpam_permit.so\nauth\toptional\t\t\tpam_cap.so \n";
const LOGIN: &str = "auth       optional   pam_faildelay.so  delay=3000000\nauth       requisite  pam_nologin.so\n\
                     session    required     pam_loginuid.so\n@include common-auth\nauth       optional   pam_group.so\n\
                     @include common-account\n";
/// i3lock, swaylock and gtklock.
const INCLUDES_LOGIN: &str = "auth include login\n";
/// mate-screensaver, cinnamon-screensaver and gnome-screensaver.
const KEYRING: &str = "@include common-auth\nauth optional pam_gnome_keyring.so\n";
/// xscreensaver and slock.
const XSCREENSAVER: &str = "@include common-auth\n@include common-account\n";
const XFCE: &str = "auth include common-auth\nauth optional pam_gnome_keyring.so\n";
const KDE: &str = "auth    requisite       pam_nologin.so\nauth\trequired\tpam_succeed_if.so user != root quiet_success\n\
                   @include common-auth\nauth    optional        pam_kwallet5.so\n\n@include common-account\n";
/// authselect's "sssd" of Fedora 42.
const SYSTEM_AUTH: &str = "auth required pam_env.so\nauth required pam_faildelay.so delay=2000000\n\
    auth [default=1 ignore=ignore success=ok] pam_usertype.so isregular\n\
    auth [default=1 ignore=ignore success=ok] pam_localuser.so\nauth sufficient pam_unix.so nullok\n\
    auth [default=1 ignore=ignore success=ok] pam_usertype.so isregular\nauth sufficient pam_sss.so forward_pass\n\
    auth required pam_deny.so\n";
const FEDORAS_LOGIN: &str = "auth       substack     system-auth\nauth       include      postlogin\n";
/// The shape of Fedora's display managers and of its kde.
const FEDORAS_KDE: &str = "auth     [success=done ignore=ignore default=bad] pam_selinux_permit.so\n\
    auth        substack      system-auth\n-auth       optional      pam_gnome_keyring.so\n\
    auth        include       postlogin\n";
const OURS: &str = "auth [success=ignore ignore=ignore default=die] pam_totp.so forward_pass";

struct Tree(tempfile::TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(scratch.path().join("etc/pam.d")).unwrap();
        let tree = Self(scratch);
        for (name, text) in files {
            tree.write(name, text);
        }
        tree
    }

    fn debian() -> Self {
        let account = "account required pam_permit.so\n";
        Self::new(&[("common-auth", COMMON_AUTH), ("common-account", account), ("login", LOGIN)])
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join("etc/pam.d").join(name), text).unwrap();
    }

    fn dirs(&self) -> ConfigDirs {
        ConfigDirs::of(self.0.path())
    }

    fn plan(&self, service: &str, mode: Mode) -> Result<Planned, String> {
        let first = if is_locker(service) { FirstFactor::OneField } else { FirstFactor::Stack };
        let program = Path::new("/usr/bin/totpd");
        plan(&self.dirs(), service, &PlanOptions { mode, first, arguments: "", program })
    }

    /// The file with its block, words by single blanks and without comments.
    fn enabled(&self, service: &str, text: &str) -> Vec<String> {
        self.write(service, text);
        let Planned::Edit(edit) = self.plan(service, Mode::Require).unwrap() else {
            unreachable!("{service}")
        };
        assert_eq!(block::strip(&edit.new).unwrap(), text);
        self.write(service, &edit.new);
        assert_eq!(self.plan(service, Mode::Require).unwrap(), Planned::Already);
        assert!(unusable(&self.dirs()).is_empty());
        let lines = edit.new.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }
}

#[test]
fn our_line_comes_first_and_the_lockers_own_lines_stay() {
    let tree = Tree::debian();
    let keyring = [OURS, "@include common-auth", "auth optional pam_gnome_keyring.so"];
    for service in ["mate-screensaver", "cinnamon-screensaver", "gnome-screensaver"] {
        assert_eq!(tree.enabled(service, KEYRING), keyring);
    }
    for service in ["xscreensaver", "slock"] {
        let lines = [OURS, "@include common-auth", "@include common-account"];
        assert_eq!(tree.enabled(service, XSCREENSAVER), lines);
    }
    let xfce = [OURS, "auth include common-auth", "auth optional pam_gnome_keyring.so"];
    assert_eq!(tree.enabled("xfce4-screensaver", XFCE), xfce);
    assert_eq!(tree.enabled("kde", KDE)[2..4], [OURS, "@include common-auth"]);
    // The file that docs/how-to/hosts.md has for hosts without a common-auth.
    assert_eq!(tree.enabled("hyprlock", "auth required pam_unix.so\n"), [OURS, "auth required pam_unix.so"]);
}

#[test]
fn a_locker_that_includes_login_gets_logins_lines() {
    let tree = Tree::debian();
    let lines = [
        OURS,
        "auth optional pam_faildelay.so delay=3000000",
        "auth requisite pam_nologin.so",
        "auth include common-auth",
        "auth optional pam_group.so",
    ];
    for service in ["i3lock", "swaylock", "gtklock"] {
        assert_eq!(tree.enabled(service, INCLUDES_LOGIN), lines);
    }
    let fedora = Tree::new(&[("system-auth", SYSTEM_AUTH), ("postlogin", ""), ("login", FEDORAS_LOGIN)]);
    let lines = [OURS, "auth substack system-auth", "auth include postlogin"];
    assert_eq!(fedora.enabled("swaylock", INCLUDES_LOGIN), lines);
    let lines = [OURS, "auth include system-auth"];
    assert_eq!(fedora.enabled("xscreensaver", "auth include system-auth\n"), lines);
}

#[test]
fn login_asks_only_once_its_lockers_have_their_own_lines() {
    let tree = Tree::debian();
    tree.write("i3lock", INCLUDES_LOGIN);
    let login = || {
        let Planned::Edit(edit) = tree.plan("login", Mode::Require).unwrap() else { unreachable!() };
        (also_asked(&tree.dirs(), &tree.dirs().with(&edit.file, &edit.new), "login"), edit.new)
    };
    let (others, with_block) = login();
    assert!(others.unwrap_err().contains("totpd pam enable i3lock"));
    // Where login asked before the locker was installed, nobody can unlock it until it has lines of
    // its own.
    tree.write("login", &with_block);
    assert_eq!(unusable(&tree.dirs()), ["i3lock"]);
    let lines = tree.enabled("i3lock", INCLUDES_LOGIN);
    assert_eq!((lines[0].as_str(), lines[3].as_str()), (OURS, "auth include common-auth"));
    tree.write("login", LOGIN);
    assert_eq!(login().0.unwrap(), [""; 0]);
}

#[test]
fn a_locker_that_would_ask_twice_or_lock_out_is_refused() {
    let tree = Tree::debian();
    let says = |text: &str, words: &str| {
        tree.write("i3lock", text);
        let why = tree.plan("i3lock", Mode::Require).unwrap_err();
        assert!(why.contains(words), "{why}");
    };
    says("@include common-auth\nauth required pam_oath.so\n", "pam_oath.so) may ask once more");
    says("auth optional pam_mystery.so\n@include common-auth\n", "pam_mystery.so) may ask once more");
    says("auth required pam_krb5.so minimum_uid=1000\n", "pam_krb5.so) may ask once more");
    says("auth required pam_sss.so prompt_always\n", "pam_sss.so) may ask once more");
    says("auth required pam_totp.so forward_pass\nauth required pam_unix.so\n", "already asks for a code");
    says("auth required pam_unix.so\n@include common-auth\n", "lines 1 and 2");
    says("auth required pam_permit.so\n", "no line of");
    says("auth include login\nauth include none-such\n", "which does not exist");
    tree.write("i3lock", INCLUDES_LOGIN);
    let why = tree.plan("i3lock", Mode::Monitor).unwrap_err();
    assert!(why.contains("one field") && why.contains("--mode require"), "{why}");
    // What lets in before the code is asked for moves behind it.
    let lines = tree
        .enabled("xlock", "auth sufficient pam_succeed_if.so user ingroup guests\n@include common-auth\n");
    assert_eq!(lines[0], OURS);
}

#[test]
fn the_trial_types_password_and_code_into_one_field() {
    let fedora = Tree::new(&[("system-auth", SYSTEM_AUTH), ("postlogin", ""), ("login", FEDORAS_LOGIN)]);
    for (tree, service, text) in [
        (Tree::debian(), "i3lock", INCLUDES_LOGIN),
        (fedora, "kde", FEDORAS_KDE),
        (Tree::debian(), "kde", KDE),
    ] {
        tree.enabled(service, text);
        let dirs = tree.dirs();
        let after = dirs.stack(service, Facility::Auth).unwrap();
        let file = tree.0.path().join("etc/pam.d").join(service);
        let before = dirs.with(&file, text).stack(service, Facility::Auth).unwrap();
        let change =
            StackChange::new((&before, &after), Mode::Require, FirstFactor::OneField, &dirs).unwrap();
        let cases = cases(&change).unwrap();
        let granted: Vec<_> = cases.iter().filter(|case| case.expected).collect();
        assert_eq!(granted.len(), 1, "{service}");
        assert_eq!((granted[0].field, granted[0].daemon), (Some(Field::PasswordAndCode), Daemon::Grants));
        assert_eq!(cases.len(), 5);
    }
}

#[test]
fn kdes_other_services_and_lockers_without_a_service_are_named() {
    let tree = Tree::debian();
    assert!(beside(&tree.dirs(), "kde").is_empty());
    tree.write("kde-fingerprint", "auth required pam_fprintd.so\n");
    assert_eq!(beside(&tree.dirs(), "kde"), ["kde-fingerprint"]);
    let why = tree.plan("kde-fingerprint", Mode::Require).unwrap_err();
    assert!(why.contains("no field") && why.contains("pam_deny.so"), "{why}");
    assert!(elsewhere("light-locker").unwrap().contains("lightdm"));
    assert!(elsewhere("sudo").is_none());
}
