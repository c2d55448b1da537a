//! Plans everything that `totpd pam enable` would change.

use super::{admins, dirs, host, sshd};
use crate::cli::args::PamEnable;
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::config::Config;
use crate::folder::{Folder, Private};
use crate::pam_config::anchor::PlanOptions;
use crate::pam_config::plan::{Edit, Planned, also_asked, plan};
use crate::pam_config::proof::FirstFactor;
use crate::pam_config::siblings::services_of;
use crate::pam_config::sshd::SshdPlan;
use crate::pam_config::undo::STATE;
use crate::pam_config::{ConfigDirs, Mode, locker, no_logins, one_field};
use std::path::{Path, PathBuf};

/// A service whose stack changes.
pub(super) struct Changed {
    /// The service's name.
    pub service: String,
    /// The name on the command line: `sudo` for `sudo-i`.
    pub group: String,
    /// What proves the first factor.
    pub first: FirstFactor,
    /// The edit of its own file; `None` if it includes a file that is edited.
    pub edit: Option<Edit>,
}

/// Everything that would change.
pub(super) struct Proposal {
    /// How the code is asked for.
    pub mode: Mode,
    /// The files before the change.
    pub before: ConfigDirs,
    /// The files after the change.
    pub after: ConfigDirs,
    /// The services.
    pub changed: Vec<Changed>,
    /// The plan for sshd itself, if it is one of the services.
    pub sshd: Option<SshdPlan>,
    /// Services that are not changed, each with the reason.
    pub left: Vec<(String, String)>,
    /// Notes for the administrator.
    pub notes: Vec<String>,
    /// A folder for the trial. It is removed with the proposal.
    pub scratch: Private,
}

impl Proposal {
    /// Plans the change.
    ///
    /// # Errors
    /// The services that are refused, each with the reason.
    pub(super) fn new(config: &Config, args: &PamEnable) -> Result<Self, CommandError> {
        let before = dirs();
        let refuse = |why: String| failed(ExitStatus::Refused, why);
        let scratch = Folder::private_beside(&Path::new(STATE).join("trial"), "trial")
            .map_err(|error| refuse(format!("{STATE}: {error}")))?;
        let mut proposal = Self {
            mode: args.mode,
            after: before.clone(),
            before,
            changed: Vec::new(),
            sshd: None,
            left: Vec::new(),
            notes: Vec::new(),
            scratch,
        };
        let program = trusted_program().map_err(refuse)?;
        let arguments = socket_argument(config);
        for (group, service) in proposal.services(args)? {
            let first = match service.as_str() {
                "sshd" => sshd::propose(&proposal.scratch, args.mode, &admins::roots()).map(|plan| {
                    let first = plan.first;
                    proposal.notes.extend(plan.notes.iter().map(|note| format!("sshd: {note}")));
                    proposal.sshd = Some(plan);
                    first
                }),
                name if locker::is_locker(name) => Ok(FirstFactor::OneField),
                _ => Ok(FirstFactor::Stack),
            };
            let refused = no_logins::refused(&service).map(str::to_owned);
            let first = refused.or_else(|| one_field::refused(&service)).map_or(first, Err);
            let outcome = first.and_then(|first| {
                let options =
                    PlanOptions { mode: args.mode, first, arguments: &arguments, program: &program };
                proposal.add(&group, &service, &options)
            });
            if let Err(why) = outcome {
                if service == "sshd" {
                    proposal.sshd = None;
                }
                proposal.left.push((service, why));
            }
        }
        if !args.all && !proposal.left.is_empty() {
            let why = proposal.left.iter().map(|(service, why)| format!("{service}: {why}"));
            let why = why.collect::<Vec<_>>().join("\ntotpd: ");
            return Err(refuse(format!("{why}\ntotpd: nothing was changed")));
        }
        Ok(proposal)
    }

    /// The services to change, each after the name on the command line.
    fn services(&mut self, args: &PamEnable) -> Result<Vec<(String, String)>, CommandError> {
        let mut chosen: Vec<(String, String)> = Vec::new();
        if args.all {
            let all = self.before.authenticating();
            for service in &all {
                let is_sibling = |name: &&String| services_of(name).contains(&service.as_str());
                let group = all.iter().find(is_sibling).unwrap_or(service);
                chosen.push((group.clone(), service.clone()));
            }
            // Lockers first: a service that a locker includes is refused until the locker has lines
            // of its own.
            chosen.sort_by_key(|(_, service)| !locker::is_locker(service));
            return Ok(chosen);
        }
        for name in &args.services {
            let services = services_of(name);
            for service in &services {
                let exists = self.before.file(service).is_some();
                if !exists && services.len() > 1 && Some(service) != services.first() {
                    self.notes.push(format!("{service}: this host has no such service"));
                } else if !exists && let Some(what) = locker::elsewhere(service) {
                    return Err(failed(
                        ExitStatus::Usage,
                        format!("there is no PAM service {service}: {what}"),
                    ));
                } else if !exists {
                    let why = format!("there is no PAM service {service}. Run: ls /etc/pam.d");
                    return Err(failed(ExitStatus::Usage, why));
                } else if !chosen.iter().any(|(_, known)| known == service) {
                    chosen.push((name.trim_start_matches('=').to_owned(), (*service).to_owned()));
                }
            }
        }
        Ok(chosen)
    }

    fn add(&mut self, group: &str, service: &str, options: &PlanOptions) -> Result<(), String> {
        let edit = match plan(&self.after, service, options)? {
            Planned::Already => {
                self.notes.push(format!("{service}: already asks in this way"));
                // sshd's drop-in may still be missing.
                if service != "sshd" || sshd::drop_in().exists() || options.mode == Mode::Monitor {
                    return Ok(());
                }
                None
            }
            Planned::Covered(file) => {
                let file = file.display();
                self.notes.push(format!("{service}: includes {file}, and asks once, by its lines"));
                None
            }
            Planned::Edit(edit) => {
                let after = self.after.with(&edit.file, &edit.new);
                if options.first == FirstFactor::OneField {
                    self.note_locker(service);
                } else {
                    // With the files as they are now: a locker whose lines are part of this change
                    // may lose them again.
                    also_asked(&self.before, &self.before.with(&edit.file, &edit.new), service)?;
                }
                let others = also_asked(&self.after, &after, service)?;
                for other in others {
                    self.notes.push(format!("{other}: includes {service}, and will ask for a code too"));
                }
                self.after = after;
                Some(edit)
            }
        };
        let (service, group) = (service.to_owned(), group.to_owned());
        self.changed.push(Changed { service, group, first: options.first, edit });
        Ok(())
    }

    /// Adds the notes about a locker.
    fn note_locker(&mut self, service: &str) {
        self.notes.push(format!("{service}: type the code directly after the password: hunter2123456"));
        self.notes.push(format!(
            "{service}: no rule exempts or remembers users there. Users without a factor cannot unlock, and no user can \
             while the daemon is stopped; root can end a locker from a console. A screen that is locked now may still \
             ask as before"
        ));
        let beside = locker::beside(&self.after, service);
        if !beside.is_empty() {
            let beside = beside.join(" and ");
            self.notes.push(format!("{service}: {beside} unlock the same screen without a code"));
        }
    }

    /// The edits in the order in which they are written. sshd's drop-in is first: without it, sshd
    /// would take the code of a stack that asks for nothing else as the only factor.
    pub(super) fn edits(&self) -> Vec<(String, PathBuf, Option<String>, Option<String>)> {
        let mut edits = Vec::new();
        if let Some(SshdPlan { drop_in: Some(text), .. }) = &self.sshd {
            let path = sshd::drop_in();
            let old = crate::pam_config::undo::content(&path).ok().flatten();
            if old.as_ref() != Some(text) {
                edits.push(("sshd".to_owned(), path, old, Some(text.clone())));
            }
        }
        for changed in &self.changed {
            if let Some(edit) = &changed.edit {
                let (old, new) = (edit.old.clone(), Some(edit.new.clone()));
                edits.push((changed.service.clone(), edit.file.clone(), old, new));
            }
        }
        edits
    }
}

/// The change of a file as a unified diff.
pub(super) fn diff(path: &Path, old: Option<&str>, new: Option<&str>) -> String {
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    let name = path.display().to_string();
    let diff = similar::TextDiff::from_lines(old, new);
    diff.unified_diff().context_radius(3).header(&name, &name).to_string().trim_end().to_owned()
}

/// The `socket=` argument of totpd's line, if the daemon does not listen at the default path.
fn socket_argument(config: &Config) -> String {
    let usual = Config::defaults(Path::new("/etc/totpd")).login_socket;
    if config.login_socket == usual {
        return String::new();
    }
    format!(" socket={}", config.login_socket.display())
}

/// The path of this program, if only root may change it: a line of sshd's stack may run it as root.
fn trusted_program() -> Result<PathBuf, String> {
    use std::os::unix::fs::MetadataExt;
    let program = host::myself()?;
    let bad = |why: &dyn std::fmt::Display| format!("{}: {why}", program.display());
    let metadata = std::fs::metadata(&program).map_err(|error| bad(&error))?;
    if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
        return Err(bad(
            &"users other than root may change this program, which PAM would run. Install totpd first",
        ));
    }
    Folder::open(program.parent().unwrap_or(Path::new("/"))).map_err(|error| bad(&error))?;
    Ok(program)
}
