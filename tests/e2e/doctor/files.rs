//! `totpd doctor --root` on the files of real Debians.

use super::ids;
use std::path::{Path, PathBuf};
use std::process::Command;
use totpd_e2e::paths::{module, target};
use totpd_e2e::run::run;

const TREES: [&str; 2] = ["/var/lib/totpd-e2e-trees/bookworm-2", "/var/lib/totpd-e2e-trees/trixie-2"];

/// Copies the files of a Debian that doctor reads, adds our line where `enable` puts it, and our
/// package's files.
#[track_caller]
fn tree(debian: &str, services: &[&str]) -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    let copy = r#"
set -e
cd "$1"
mkdir -p "$2/etc" "$2/usr/lib/systemd/system"
cp -a --parents etc/pam.d usr/lib/pam.d etc/passwd etc/group etc/ssh/sshd_config etc/sudoers etc/sudoers.d "$2"
folder=$(dirname "$(find usr/lib -name pam_unix.so)")
mkdir -p "$2/$folder"
cp "$folder/pam_unix.so" "$2/$folder/"
cp "$3" "$2/$folder/pam_totp.so"
cp "$4"/systemd/* "$2/usr/lib/systemd/system/"
mkdir -p "$2/etc/systemd/system/sockets.target.wants"
for socket in totpd totpd-root totpd-admin; do
    ln -s "/usr/lib/systemd/system/$socket.socket" "$2/etc/systemd/system/sockets.target.wants/"
done
echo 'totpd:x:990:990::/var/lib/totpd:/usr/sbin/nologin' >> "$2/etc/passwd"
"#;
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let mut shell = Command::new("sh");
    shell.args(["-c", copy, "sh", debian]).arg(root).arg(module()).arg(config);
    assert!(shell.status().unwrap().success());
    for service in services {
        let own = root.join("etc/pam.d").join(service);
        let file = if own.exists() { own.clone() } else { root.join("usr/lib/pam.d").join(service) };
        let text = std::fs::read_to_string(file).unwrap();
        let line = text.lines().find(|line| line.contains("common-auth")).unwrap();
        std::fs::write(own, text.replace(line, &format!("{line}\nauth required pam_totp.so"))).unwrap();
    }
    scratch
}

fn doctor(root: &Path) -> totpd_e2e::Finished {
    let mut doctor = Command::new(target().join("debug/totpd"));
    doctor.args(["doctor", "--json", "--root"]).arg(root);
    run(doctor, "")
}

#[test]
fn debians_files_are_healthy_when_every_login_service_asks() {
    for debian in TREES {
        let tree = tree(debian, &["sshd", "sudo", "sudo-i", "su", "login", "polkit-1"]);
        let found = doctor(tree.path());
        assert_eq!((found.code, ids(&found)), (0, (vec![], vec![])), "{debian}: {}", found.stdout);
    }
}

#[test]
fn login_services_that_ask_for_no_code_are_listed() {
    for debian in TREES {
        let tree = tree(debian, &["sshd", "sudo"]);
        let found = doctor(tree.path());
        let (serious, notes) = ids(&found);
        let wanted =
            ["sibling-without-code", "service-without-code", "service-without-code", "service-without-code"];
        assert_eq!(
            (serious.as_slice(), notes.as_slice()),
            (&wanted.map(str::to_owned)[..], &["console-without-code".to_owned()][..])
        );
        let subjects: Vec<_> =
            found.json()["findings"].as_array().unwrap().iter().map(|f| f["subject"].clone()).collect();
        assert_eq!(subjects, ["sudo-i", "polkit-1", "su", "su-l", "login"], "{debian}");
    }
}

#[test]
fn a_root_that_is_not_a_folder_is_a_usage_error() {
    let none = doctor(&PathBuf::from("/nonexistent"));
    assert_eq!((none.code, none.stdout.as_str()), (2, ""));
}
