//! Reads sshd's configuration with `sshd -T`, as it is and as it would be.

use super::host::{in_namespace, run};
use crate::folder::Private;
use crate::pam_config::Mode;
use crate::pam_config::sshd::{
    DROP_IN, Effective, Setting, SshUser, SshdPlan, compare, effective, plan, settings,
};
use crate::pam_config::undo::content;
use std::path::{Path, PathBuf};

/// The folder of sshd's drop-ins.
const FOLDER: &str = "/etc/ssh/sshd_config.d";
const CONFIG: &str = "/etc/ssh/sshd_config";

/// The path of totpd's drop-in.
pub(super) fn drop_in() -> PathBuf {
    Path::new(FOLDER).join(DROP_IN)
}

/// A folder that is mounted over the host's drop-ins in a private namespace. It has the host's
/// drop-ins without totpd's, and the planned one.
struct Candidate<'a> {
    folder: PathBuf,
    scratch: &'a Private,
}

impl<'a> Candidate<'a> {
    fn new(scratch: &'a Private, name: &str, planned: Option<&str>) -> Result<Self, String> {
        let folder = scratch.path().join(name);
        let said = |error: std::io::Error| format!("{FOLDER}: {error}");
        std::fs::create_dir(&folder).map_err(said)?;
        for entry in std::fs::read_dir(FOLDER).map_err(said)? {
            let entry = entry.map_err(said)?;
            if entry.path().is_file() && entry.file_name() != DROP_IN {
                std::fs::copy(entry.path(), folder.join(entry.file_name())).map_err(said)?;
            }
        }
        if let Some(planned) = planned {
            std::fs::write(folder.join(DROP_IN), planned).map_err(said)?;
        }
        Ok(Self { folder, scratch })
    }

    fn sshd(&self, arguments: &[&str]) -> Result<String, String> {
        // sshd needs this folder even when it only reads its configuration.
        let script = r#"set -e
mount --bind "$1" "$2"
shift 2
[ -d /run/sshd ] || mkdir -m 0755 /run/sshd
exec "$(command -v sshd)" "$@""#;
        let mut command = in_namespace(script);
        command.arg(&self.folder).arg(FOLDER).args(arguments).current_dir(self.scratch.path());
        run(command).map_err(|why| format!("sshd: {why}"))
    }

    fn effective(&self, user: Option<&str>) -> Result<Effective, String> {
        let connection = user
            .map(|user| format!("user={user},host=client.example,addr=192.0.2.1,laddr=192.0.2.2,lport=22"));
        let mut arguments = vec!["-T"];
        if let Some(connection) = &connection {
            arguments.extend(["-C", connection]);
        }
        self.sshd(&arguments).map(|output| effective(&output))
    }
}

/// Plans the change of sshd's configuration.
///
/// # Errors
/// What is not understood, and what to do.
pub(super) fn propose(scratch: &Private, mode: Mode, roots: &[String]) -> Result<SshdPlan, String> {
    let config = std::fs::read_to_string(CONFIG).map_err(|error| format!("{CONFIG}: {error}"))?;
    let config = settings(Path::new(CONFIG), &config);
    let mut drop_ins: Vec<Setting> = Vec::new();
    let folder = std::fs::read_dir(FOLDER).map_err(|error| format!("{FOLDER}: {error}"))?;
    let mut names: Vec<_> = folder.filter_map(|entry| Some(entry.ok()?.path())).collect();
    names.sort();
    for path in names.into_iter().filter(|path| path.extension().is_some_and(|end| end == "conf")) {
        if path != drop_in() {
            let text =
                std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            drop_ins.extend(settings(&path, &text));
        }
    }
    let today = Candidate::new(scratch, "sshd-today", None)?;
    let effective = today.effective(None)?;
    let plan = plan(&config, &drop_ins, Path::new(FOLDER), &effective, roots, mode)?;
    let present = content(&drop_in()).map_err(|error| format!("{}: {error}", drop_in().display()))?;
    if let Some(present) = present {
        let ours = crate::pam_config::block::strip(&present).is_ok_and(|rest| rest.trim().is_empty());
        if !ours {
            return Err(format!("{} was edited by hand. Remove it, then try again", drop_in().display()));
        }
        // Between the two edits, neither order would be safe.
        let lines = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        if plan.drop_in.as_deref().map(lines) != Some(lines(&present)) {
            return Err("sshd's own settings would change too. Run first: totpd pam disable sshd".to_owned());
        }
    }
    Ok(plan)
}

/// Checks the planned configuration with `sshd -t`, and with `sshd -T -C` for each of these users.
///
/// # Errors
/// What sshd said, or what would be wrong.
pub(super) fn check(
    scratch: &Private,
    plan: &SshdPlan,
    users: &[String],
    roots: &[String],
) -> Result<(), String> {
    let Some(drop_in) = &plan.drop_in else { return Ok(()) };
    let before = Candidate::new(scratch, "sshd-before", None)?;
    let after = Candidate::new(scratch, "sshd-after", Some(drop_in))?;
    after.sshd(&["-t"])?;
    for user in users.iter().chain(roots) {
        let of = if roots.contains(user) { SshUser::Root(user) } else { SshUser::Other(user) };
        compare(plan, &of, &before.effective(Some(user))?, &after.effective(Some(user))?)?;
    }
    Ok(())
}
