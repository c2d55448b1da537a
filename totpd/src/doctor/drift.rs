//! Finds services that asked for a code at an earlier run and no longer ask. Updates of
//! distributions have ended second factors silently before (google-authenticator-libpam#187).

use super::catalogue as kinds;
use super::checks::{services, sshd};
use super::finding::Finding;
use super::stack;
use super::system::Host;
use crate::clock::rfc3339;
use crate::last_run::Asked;

/// The services that ask for a code now, and whose stack depends on it.
pub fn asking(host: &Host) -> Vec<String> {
    let asking = services::protected(host).into_iter().filter(|service| stack::asks(&service.auth));
    let asking = asking.filter(|service| service.name != "sshd" || sshd::asks(host) != Some(false));
    asking.map(|service| service.name).collect()
}

/// The services to store for the next run: those that ask now, and those that asked before and
/// still have a file.
pub fn keep(host: &Host, before: &Asked, now: &[String]) -> Asked {
    let names = host.pam().names();
    let mut kept: Asked = before.clone();
    // A removed program has no file.
    kept.retain(|service, _| names.contains(service));
    kept.extend(now.iter().map(|service| (service.clone(), rfc3339(host.now))));
    kept
}

/// Findings about the services that asked before, and do not now.
pub fn check(host: &Host, kept: &Asked, now: &[String]) -> Vec<Finding> {
    let stopped = kept.iter().filter(|(service, _)| !now.contains(service));
    let finding = |(service, last): (&String, &String)| {
        let what = format!("{service} asked for a code on {last}, but does not now");
        let cure = format!(
            "Run: totpd pam enable {service}. If the change was intended, run: totpd doctor --accept"
        );
        let finding = Finding::new(&kinds::STOPPED_ASKING, service, what).cure(cure);
        match host.pam().file(service) {
            Some(file) => finding.at(&host.shown(&file), None),
            None => finding,
        }
    };
    stopped.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_service_that_stopped_asking_is_reported_until_accepted() {
        let scratch = tempfile::tempdir().unwrap();
        let write = |text: &str| {
            std::fs::create_dir_all(scratch.path().join("etc/pam.d")).unwrap();
            std::fs::write(scratch.path().join("etc/pam.d/sudo"), text).unwrap();
        };
        let look = |before: &Asked| {
            let host = Host::of_tree(scratch.path(), Path::new("/etc/totpd/totpd.toml"));
            let now = asking(&host);
            let kept = keep(&host, before, &now);
            let ids: Vec<_> = check(&host, &kept, &now).into_iter().map(|finding| finding.subject).collect();
            (kept, ids)
        };
        let password = "auth required pam_unix.so\n";
        write(&format!("{password}auth required pam_totp.so\n"));
        let (kept, found) = look(&Asked::new());
        assert_eq!((kept.len(), found.len()), (1, 0));
        // The line is gone; or it is there and decides nothing.
        for broken in
            [password.to_owned(), "auth sufficient pam_unix.so\nauth required pam_totp.so\n".to_owned()]
        {
            write(&broken);
            let (again, found) = look(&kept);
            assert_eq!((found.as_slice(), &again), (&["sudo".to_owned()][..], &kept), "{broken}");
        }
        std::fs::remove_file(scratch.path().join("etc/pam.d/sudo")).unwrap();
        assert_eq!(look(&kept), (Asked::new(), Vec::new()), "the program was removed");
    }
}
