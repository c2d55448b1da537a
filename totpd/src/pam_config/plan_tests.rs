//! The blocks for the service files of Debian 12 and 13, Ubuntu (sudo-rs reads the same files) and
//! Fedora 42, and what is refused. Comments of the files are left out.

use super::*;

/// pam-auth-update's, Debian 12 and 13; 13 has no pam_cap in small installations.
const COMMON_AUTH: &str = "auth\t[success=1 default=ignore]\tpam_unix.so nullok\nauth\trequisite\t\t\tpam_deny.so\n\
                           auth\trequired\t\t\tpam_permit.so\nauth\toptional\t\t\tpam_cap.so \n";
/// With sssd, as pam-auth-update writes it.
const COMMON_AUTH_SSS: &str = "auth\t[success=2 default=ignore]\tpam_unix.so nullok\nauth\t[success=1 default=ignore]\tpam_sss.so use_first_pass\n\
     auth\trequisite\t\t\tpam_deny.so\nauth\trequired\t\t\tpam_permit.so\nauth\toptional\t\t\tpam_cap.so \n";
const SUDO: &str = "#%PAM-1.0\n\n# Set up user limits from /etc/security/limits.conf.\nsession    required   pam_limits.so\n\n\
                    @include common-auth\n@include common-account\n@include common-session-noninteractive\n";
const SU: &str = "auth       sufficient pam_rootok.so\nsession       required   pam_env.so readenv=1\n@include common-auth\n\
                  @include common-account\n@include common-session\n";
const SU_L: &str = "auth\t\tinclude\t\tsu\naccount\t\tinclude\t\tsu\nsession\t\tinclude\t\tsu\n";
const SSHD: &str = "@include common-auth\naccount    required     pam_nologin.so\n@include common-account\n\
                    @include common-session\n@include common-password\n";
const LOGIN: &str = "auth       optional   pam_faildelay.so  delay=3000000\nauth       requisite  pam_nologin.so\n\
                     session    required     pam_loginuid.so\n@include common-auth\nauth       optional   pam_group.so\n\
                     @include common-account\n@include common-session\n";
const GDM: &str = "auth    requisite       pam_nologin.so\nauth\trequired\tpam_succeed_if.so user != root quiet_success\n\
                   @include common-auth\nauth    optional        pam_gnome_keyring.so\n@include common-account\n";
const ACCOUNT: &str = "account required pam_permit.so\n";
const DEBIAN: [(&str, &str); 11] = [
    ("common-auth", COMMON_AUTH),
    ("common-account", ACCOUNT),
    ("common-session", "session required pam_permit.so\n"),
    ("common-session-noninteractive", "session required pam_permit.so\n"),
    ("common-password", "password required pam_unix.so\n"),
    ("sudo", SUDO),
    ("sudo-i", SUDO),
    ("su", SU),
    ("su-l", SU_L),
    ("sshd", SSHD),
    ("login", LOGIN),
];
/// authselect's profiles "local" and "sssd" of Fedora 42.
const SYSTEM_AUTH: &str = "auth        required                                     pam_env.so\n\
    auth        required                                     pam_faildelay.so delay=2000000\n\
    auth        sufficient                                   pam_unix.so nullok\n\
    auth        required                                     pam_deny.so\naccount     required      pam_unix.so\n";
const SYSTEM_AUTH_SSS: &str = "auth required pam_env.so\nauth required pam_faildelay.so delay=2000000\n\
    auth [default=1 ignore=ignore success=ok] pam_usertype.so isregular\n\
    auth [default=1 ignore=ignore success=ok] pam_localuser.so\nauth sufficient pam_unix.so nullok\n\
    auth [default=1 ignore=ignore success=ok] pam_usertype.so isregular\nauth sufficient pam_sss.so forward_pass\n\
    auth required pam_deny.so\n";
const FEDORA: [(&str, &str); 8] = [
    ("system-auth", SYSTEM_AUTH),
    ("password-auth", SYSTEM_AUTH),
    ("postlogin", "session optional pam_umask.so silent\n"),
    ("sudo", "#%PAM-1.0\nauth       include      system-auth\naccount    include      system-auth\n"),
    ("sudo-i", "#%PAM-1.0\nauth       include      sudo\naccount    include      sudo\n"),
    (
        "su",
        "auth\t\tsufficient\tpam_rootok.so\nauth\t\tsubstack\tsystem-auth\nauth\t\tinclude\t\tpostlogin\n",
    ),
    ("su-l", "auth\t\tinclude\t\tsu\n"),
    ("sshd", "#%PAM-1.0\nauth       substack     password-auth\nauth       include      postlogin\n"),
];

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

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join("etc/pam.d").join(name), text).unwrap();
    }

    fn dirs(&self) -> ConfigDirs {
        ConfigDirs::of(self.0.path())
    }

    fn plan(&self, service: &str, mode: Mode, first: FirstFactor) -> Result<Planned, String> {
        plan(
            &self.dirs(),
            service,
            &PlanOptions { mode, first, arguments: "", program: Path::new("/usr/bin/totpd") },
        )
    }

    /// The lines of the block.
    fn block(&self, service: &str, mode: Mode, first: FirstFactor) -> Vec<String> {
        let edit = match self.plan(service, mode, first).unwrap() {
            Planned::Edit(edit) => edit,
            other => unreachable!("{service}: {other:?}"),
        };
        assert_eq!(block::strip(&edit.new).unwrap(), edit.old.unwrap());
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let inside = edit.new.lines().skip_while(|line| !line.starts_with("# BEGIN"));
        let lines = inside.take_while(|line| !line.starts_with("# END")).skip(1);
        lines.filter(|line| !line.starts_with('#')).map(words).collect()
    }

    fn refusal(&self, service: &str) -> String {
        self.plan(service, Mode::Require, FirstFactor::Stack).unwrap_err()
    }
}

#[test]
fn debians_services_ask_after_a_substack() {
    let tree = Tree::new(&DEBIAN);
    for service in ["sudo", "sudo-i", "su", "login", "sshd"] {
        let require = tree.block(service, Mode::Require, FirstFactor::Stack);
        assert_eq!(require, ["auth substack common-auth", "auth required pam_totp.so"], "{service}");
        let rules = tree.block(service, Mode::Rules, FirstFactor::Stack);
        assert_eq!(rules, ["auth required pam_totp.so first_factor=passed"], "{service}");
        let monitor = tree.block(service, Mode::Monitor, FirstFactor::Stack);
        assert_eq!(monitor, ["auth optional pam_totp.so first_factor=passed timeout=2"], "{service}");
    }
    tree.write("gdm-password", GDM);
    tree.block("gdm-password", Mode::Require, FirstFactor::Stack);
    // A directory's users are asked by pam_sss, as before.
    tree.write("common-auth", COMMON_AUTH_SSS);
    assert_eq!(tree.block("sudo", Mode::Require, FirstFactor::Stack)[0], "auth substack common-auth");
    assert_eq!(tree.block("sudo", Mode::Rules, FirstFactor::Stack).len(), 1);
}

#[test]
fn fedoras_sufficient_modules_do_not_end_the_stack() {
    let tree = Tree::new(&FEDORA);
    for system_auth in [SYSTEM_AUTH, SYSTEM_AUTH_SSS] {
        tree.write("system-auth", system_auth);
        let require = tree.block("sudo", Mode::Require, FirstFactor::Stack);
        assert_eq!(require, ["auth substack system-auth", "auth required pam_totp.so"]);
        assert_eq!(tree.block("su", Mode::Require, FirstFactor::Stack), ["auth required pam_totp.so"]);
        let monitor = tree.block("sudo", Mode::Monitor, FirstFactor::Stack);
        assert_eq!(monitor, ["auth substack system-auth", "auth optional pam_totp.so timeout=2"]);
        // Below a substack nothing proves the first factor.
        let rules = tree.plan("sudo", Mode::Rules, FirstFactor::Stack).unwrap_err();
        assert!(rules.contains("--mode require"), "{rules}");
    }
    assert_eq!(
        tree.block("sshd", Mode::Require, FirstFactor::Sshd),
        [KEY_OR_DIE, "auth required pam_totp.so"]
    );
}

const KEY_OR_DIE: &str =
    "auth [success=ignore ignore=ignore default=die] pam_exec.so quiet /usr/bin/totpd pam ssh-key-shown";

#[test]
fn a_sibling_that_includes_the_other_is_asked_once() {
    for (files, service, sibling) in [(&DEBIAN[..], "su", "su-l"), (&FEDORA, "sudo", "sudo-i")] {
        let tree = Tree::new(files);
        let Planned::Edit(edit) = tree.plan(service, Mode::Require, FirstFactor::Stack).unwrap() else {
            unreachable!()
        };
        std::fs::write(&edit.file, &edit.new).unwrap();
        let covered = tree.plan(sibling, Mode::Require, FirstFactor::Stack).unwrap();
        assert_eq!(covered, Planned::Covered(edit.file));
        let stack = tree.dirs().stack(sibling, Facility::Auth).unwrap();
        assert_eq!(stack.ours().count(), 1);
    }
}

#[test]
fn after_a_key_the_stack_asks_for_the_code_alone() {
    let tree = Tree::new(&DEBIAN);
    assert_eq!(
        tree.block("sshd", Mode::Require, FirstFactor::Sshd),
        [KEY_OR_DIE, "auth required pam_totp.so"]
    );
    let rules = [KEY_OR_DIE, "auth required pam_totp.so", "auth required pam_permit.so"];
    assert_eq!(tree.block("sshd", Mode::Rules, FirstFactor::Sshd), rules);
    let either = tree.block("sshd", Mode::Require, FirstFactor::Either);
    let key = "auth [success=1 default=ignore] pam_exec.so quiet /usr/bin/totpd pam ssh-key-shown";
    assert_eq!(either, [key, "auth substack common-auth", "auth required pam_totp.so"]);
    let either = tree.block("sshd", Mode::Rules, FirstFactor::Either);
    assert_eq!(either[3..], ["@include common-auth", "auth required pam_totp.so first_factor=passed"]);
    let fedora = Tree::new(&FEDORA);
    assert_eq!(fedora.block("sshd", Mode::Require, FirstFactor::Either).len(), 3);
}

#[test]
fn after_sshds_key_a_stack_without_the_key_line_is_refused() {
    let tree = Tree::new(&DEBIAN);
    let Planned::Edit(edit) = tree.plan("sshd", Mode::Require, FirstFactor::Sshd).unwrap() else {
        unreachable!()
    };
    let before = tree.dirs().stack("sshd", Facility::Auth).unwrap();
    let prove = |text: &str| {
        let dirs = tree.dirs().with(&edit.file, text);
        let after = dirs.stack("sshd", Facility::Auth).unwrap();
        StackChange::new((&before, &after), Mode::Require, FirstFactor::Sshd, &dirs).and_then(|it| it.prove())
    };
    prove(&edit.new).unwrap();
    let lines = edit.new.split_inclusive('\n').filter(|line| !line.contains("pam_exec.so"));
    let why = prove(&lines.collect::<String>()).unwrap_err();
    assert!(why.contains("the only factor"), "{why}");
    // pam_exec answers "ignore" where sshd sets the credentials.
    let why = prove(&edit.new.replace("ignore=ignore ", "")).unwrap_err();
    assert!(why.contains("credentials"), "{why}");
}

#[test]
fn another_mode_replaces_the_block_and_the_same_mode_nothing() {
    let tree = Tree::new(&DEBIAN);
    let write = |mode| {
        let Planned::Edit(edit) = tree.plan("sudo", mode, FirstFactor::Stack).unwrap() else {
            unreachable!()
        };
        std::fs::write(&edit.file, &edit.new).unwrap();
        edit
    };
    write(Mode::Monitor);
    let again = tree.plan("sudo", Mode::Monitor, FirstFactor::Stack).unwrap();
    assert_eq!(again, Planned::Already);
    let edit = write(Mode::Rules);
    assert_eq!(edit.new.matches("# BEGIN totpd").count(), 1);
    assert_eq!(block::strip(&edit.new).unwrap(), SUDO);
}

#[test]
fn what_is_not_understood_is_refused_with_its_line() {
    let tree = Tree::new(&DEBIAN);
    let says = |service: &str, text: &str, words: &str| {
        tree.write(service, text);
        let why = tree.refusal(service);
        assert!(why.contains(words), "{service}: {why}");
    };
    says("x", "auth required pam_unix.so\nautth required pam_deny.so\n", "x:2 its first word is not");
    says("x", "auth requird pam_unix.so\n", "x:1 libpam cannot read its control");
    says(
        "x",
        "@include common-auth\nauth required pam_totp.so\n",
        "x:2 (pam_totp.so) already asks for a code",
    );
    says("x", "auth required pam_env.so\n", "no line of");
    says("x", "auth required pam_unix.so\n@include common-auth\n", "lines 1 and 2");
    says(
        "x",
        "auth sufficient pam_wheel.so trust\n@include common-auth\n",
        "x:1 (pam_wheel.so) would let in before",
    );
    says(
        "x",
        "auth sufficient pam_unix.so\nauth required pam_deny.so\n",
        "would let in before the code is asked for",
    );
    says("x", "auth required \\\n pam_unix.so\n", "continues in the next");
    says("x", "@include common-auth\n@include none-such\n", "which does not exist");
    says("x", "# BEGIN totpd (by hand\n@include common-auth\n", "line 1 begins a block that was edited");
    tree.write("common-auth", &format!("{COMMON_AUTH}auth required pam_totp.so\n"));
    // A profile of pam-auth-update's.
    assert!(tree.refusal("sudo").contains("common-auth:5 (pam_totp.so) already asks for a code"));
    assert!(tree.refusal("none").contains("there is no PAM service none"));
}

#[test]
fn a_jump_whose_lines_would_be_other_ones_is_refused() {
    let tree = Tree::new(&DEBIAN);
    // It was counted for the lines of an include, and a substack is one.
    let skips = "auth [success=4 default=ignore] pam_succeed_if.so user ingroup trusted\n@include common-auth\n\
                 auth required pam_permit.so\n";
    tree.write("sudo", skips);
    let why = tree.refusal("sudo");
    assert!(why.contains("a right code would be refused"), "{why}");
}

#[test]
fn a_packages_file_is_copied_and_links_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::new(&DEBIAN);
    let root = tree.0.path();
    std::fs::create_dir_all(root.join("usr/lib/pam.d")).unwrap();
    std::fs::write(root.join("usr/lib/pam.d/polkit-1"), "@include common-auth\n").unwrap();
    let polkit = tree.plan("polkit-1", Mode::Require, FirstFactor::Stack).unwrap();
    let Planned::Edit(Edit { file, old: None, new }) = polkit else { unreachable!("{polkit:?}") };
    assert_eq!(file, root.join("etc/pam.d/polkit-1"));
    assert_eq!(block::strip(&new).unwrap(), "@include common-auth\n");
    std::os::unix::fs::symlink("sudo", root.join("etc/pam.d/linked")).unwrap();
    assert!(tree.refusal("linked").contains("is a link to sudo"));
    std::fs::set_permissions(root.join("etc/pam.d/su"), std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(tree.refusal("su").contains("root alone may write"));
}

#[test]
fn a_service_that_includes_another_asks_as_well() {
    let tree = Tree::new(&DEBIAN);
    let Planned::Edit(edit) = tree.plan("su", Mode::Require, FirstFactor::Stack).unwrap() else {
        unreachable!()
    };
    let after = tree.dirs().with(&edit.file, &edit.new);
    assert_eq!(also_asked(&tree.dirs(), &after, "su").unwrap(), ["su-l"]);
}
