//! Taking back a file in each state that a kill, or somebody else's edit, may leave it in.

use super::*;
use crate::pam_config::block::Position;

const OLD: &str = "session required pam_limits.so\n@include common-auth\n";

struct Host {
    scratch: tempfile::TempDir,
    state: State,
}

impl Host {
    fn new() -> Self {
        let scratch = tempfile::tempdir_in("/var/tmp").unwrap();
        let state = State::open(&scratch.path().join("state")).unwrap();
        std::fs::create_dir(scratch.path().join("pam.d")).unwrap();
        std::fs::write(scratch.path().join("pam.d/sudo"), OLD).unwrap();
        Self { scratch, state }
    }

    fn sudo(&self) -> PathBuf {
        self.scratch.path().join("pam.d/sudo")
    }

    /// A change of sudo's file that is armed.
    fn armed(&self) -> (PendingFile, String) {
        let lines = ["auth required pam_totp.so".to_owned()];
        let new = block::insert(OLD, Position::After(2), "sudo", Mode::Require, &lines);
        let backup = self.state.back_up(&self.sudo(), OLD, 7).unwrap();
        let file = PendingFile {
            path: self.sudo(),
            service: "sudo".into(),
            backup: Some(backup),
            old: Some(checksum(OLD)),
            new: Some(checksum(&new)),
        };
        (file, new)
    }
}

#[test]
fn what_was_written_is_taken_back() {
    let host = Host::new();
    let (file, new) = host.armed();
    assert_eq!(take_back(&host.state, &file).unwrap(), Restored::Unchanged, "before the first edit");
    replace(&host.sudo(), Some(&new)).unwrap();
    assert_eq!(std::fs::read_to_string(host.sudo()).unwrap(), new);
    assert_eq!(take_back(&host.state, &file).unwrap(), Restored::OldContent);
    assert_eq!(std::fs::read_to_string(host.sudo()).unwrap(), OLD);
    assert_eq!(take_back(&host.state, &file).unwrap(), Restored::Unchanged, "twice");
}

#[test]
fn a_later_edit_of_somebody_else_stays() {
    let host = Host::new();
    let (file, new) = host.armed();
    std::fs::write(host.sudo(), format!("# theirs\n{new}auth optional pam_theirs.so\n")).unwrap();
    assert_eq!(take_back(&host.state, &file).unwrap(), Restored::BlockRemoved);
    let left = std::fs::read_to_string(host.sudo()).unwrap();
    assert_eq!(left, format!("# theirs\n{OLD}auth optional pam_theirs.so\n"));
    // A file that somebody has removed is not made again.
    std::fs::remove_file(host.sudo()).unwrap();
    assert_eq!(take_back(&host.state, &file).unwrap(), Restored::Unchanged);
}

#[test]
fn a_half_done_replacement_leaves_nothing_behind() {
    let host = Host::new();
    let (file, _) = host.armed();
    std::fs::write(host.scratch.path().join("pam.d/.totpd-new-sudo"), "auth req").unwrap();
    assert_eq!(take_back(&host.state, &file).unwrap(), Restored::Unchanged);
    let names: Vec<_> = std::fs::read_dir(host.scratch.path().join("pam.d")).unwrap().collect();
    assert_eq!(names.len(), 1);
}

#[test]
fn a_damaged_or_missing_backup_is_made_up_for_by_the_block() {
    for missing in [false, true] {
        let host = Host::new();
        let (file, new) = host.armed();
        replace(&host.sudo(), Some(&new)).unwrap();
        let backup = host.scratch.path().join("state").join(file.backup.as_ref().unwrap());
        if missing { std::fs::remove_file(backup) } else { std::fs::write(backup, "auth sufficient x") }
            .unwrap();
        assert_eq!(take_back(&host.state, &file).unwrap(), Restored::OldContent);
        assert_eq!(std::fs::read_to_string(host.sudo()).unwrap(), OLD);
    }
}

#[test]
fn a_new_file_is_removed_again_and_a_link_is_not_followed() {
    let host = Host::new();
    let path = host.scratch.path().join("pam.d/00-totpd.conf");
    let text = block::whole("sshd", Mode::Require, &["UsePAM yes".to_owned()]);
    let file = PendingFile {
        path: path.clone(),
        service: "sshd".into(),
        backup: None,
        old: None,
        new: Some(checksum(&text)),
    };
    replace(&path, Some(&text)).unwrap();
    assert_eq!(take_back(&host.state, &file).unwrap(), Restored::OldContent);
    assert!(!path.exists());
    std::os::unix::fs::symlink(host.sudo(), &path).unwrap();
    assert!(replace(&path, Some(&text)).is_err());
    assert_eq!(std::fs::read_to_string(host.sudo()).unwrap(), OLD);
}

#[test]
fn pending_is_written_read_and_removed() {
    let host = Host::new();
    assert_eq!(host.state.pending().unwrap(), None);
    let (file, _) = host.armed();
    let pending = Pending {
        id: "1".into(),
        until: 600,
        edited: None,
        seen: Vec::new(),
        administrators: Vec::new(),
        timer: None,
        services: vec![PendingService {
            name: "sudo".into(),
            group: "sudo".into(),
            mode: Mode::Require,
            confirmed: None,
        }],
        files: vec![file],
    };
    host.state.set_pending(Some(&pending)).unwrap();
    assert_eq!(host.state.pending().unwrap(), Some(pending));
    std::fs::create_dir(host.scratch.path().join("state/.totpd-trial-1")).unwrap();
    host.state.tidy().unwrap();
    host.state.set_pending(None).unwrap();
    assert_eq!(host.state.pending().unwrap(), None);
    std::fs::write(host.scratch.path().join("state/pending"), "{").unwrap();
    assert!(host.state.pending().unwrap_err().to_string().contains("damaged"));
    let shared = host.scratch.path().join("pam.d");
    assert!(State::open(&shared).is_err(), "others may read it");
}

#[test]
fn what_cannot_be_taken_back_waits_beside_what_waits_already() {
    let host = Host::new();
    let (file, _) = host.armed();
    let pending = |id: &str, name: &str, files: Vec<PendingFile>| Pending {
        id: id.into(),
        until: 600,
        edited: None,
        seen: Vec::new(),
        administrators: Vec::new(),
        timer: Some(format!("totpd-pam-{id}")),
        services: vec![PendingService {
            name: name.into(),
            group: name.into(),
            mode: Mode::Require,
            confirmed: None,
        }],
        files,
    };
    let rest = pending("1", "sudo", vec![file.clone()]);
    let failed = PendingFile { service: "sshd".into(), ..file };
    let disable = pending("2", "sshd", vec![failed.clone()]);
    assert_eq!(disable.clone().left(Vec::new(), None), None);
    assert_eq!(disable.clone().left(Vec::new(), Some(&rest)), Some(rest.clone()));
    assert_eq!(disable.clone().left(vec![failed.clone()], None), Some(disable.clone()));
    // The timer of what waits finds it by its name, and tries both.
    let left = disable.left(vec![failed.clone()], Some(&rest)).unwrap();
    assert_eq!((left.id, left.timer), (rest.id.clone(), rest.timer.clone()));
    assert_eq!(left.files, [rest.files[0].clone(), failed]);
    assert_eq!(left.services.len(), 2);
}
