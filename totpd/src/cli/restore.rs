//! `totpd restore`: restores a backup, or accepts a store that was restored by other means.

use super::args::Restore;
use super::progress::Progress;
use super::verify::ask;
use super::{Context, passphrase};
use crate::backup::{self, Opener, Plan, Replaced, Target};
use crate::cli::call_error;
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::cli::rpc;
use crate::clock::rfc3339;
use crate::config::{Config, StorePlace};
use crate::local_time::local;
use serde_json::json;
use std::io::IsTerminal;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};
use totp_core::withdrawal::Kind;
use totp_wire::admin::{self, DaemonState};
use totp_wire::text::printable;
use zeroize::Zeroizing;

/// How long a refusing daemon may take to open the store again.
const REOPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// `totpd restore FILE`, or `totpd restore --accept`
pub(super) fn restore(context: &Context, args: &Restore) -> Result<(), CommandError> {
    if !nix::unistd::geteuid().is_root() {
        let why = "only root may restore a store. Run it in a root shell: without its store totpd refuses sudo as well";
        return Err(failed(ExitStatus::Refused, why));
    }
    match &args.file {
        None => accept(context),
        Some(file) => restore_file(context, args, file),
    }
}

fn restore_file(context: &Context, args: &Restore, file: &Path) -> Result<(), CommandError> {
    let out = context.out;
    let config_folder = context.config_path.parent().unwrap_or(Path::new("/"));
    // On a bare host the configuration comes out of the backup.
    let config = match context.config_path.symlink_metadata() {
        Ok(_) => context.config()?,
        Err(_) => Config::defaults(config_folder),
    };
    if config.store != StorePlace::StateDir {
        let why = format!(
            "the store is {}. Restore it with PostgreSQL's own tools. totpd then finds that it is an older copy, refuses what \
             was withdrawn after it, and serves it as it is after: totpd restore --accept",
            config.store_place()
        );
        return Err(failed(ExitStatus::Refused, why));
    }
    refuse_beside_a_daemon(&config)?;
    let opener = match &args.identity {
        Some(identity) => Opener::Identities(identities(identity)?),
        None => Opener::Passphrase(passphrase::existing()?),
    };
    let target = Target { config_path: &context.config_path, owner: args.owner.as_deref() };
    let size = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    let progress = Progress::start(out, size);
    let plan = backup::plan(&target, file, &opener, &|bytes| progress.add(bytes))
        .map_err(|error| failed(ExitStatus::Refused, error))?;
    drop(progress);
    let document = show(context, &plan)?;
    if !args.yes {
        if !std::io::stdin().is_terminal() {
            return Err(failed(
                ExitStatus::Usage,
                "nothing was changed, because there is no terminal to ask on. Add --yes",
            ));
        }
        if ask("Restore it? (yes/no) ")?.reveal() != "yes" {
            return Err(failed(ExitStatus::Refused, "nothing was changed"));
        }
    }
    refuse_beside_a_daemon(&plan.config)?;
    let replaces = plan.replaced != Replaced::None;
    let state = plan.config.state_dir.display().to_string();
    plan.carry_out().map_err(|error| failed(ExitStatus::Refused, error))?;
    out.line("Restored. Start the sockets and the daemon: systemctl start totpd.socket totpd-root.socket totpd-admin.socket totpd")?;
    if replaces {
        out.line(format!(
            "The previous store is now {state}/before-restore.db. Remove it once everything works"
        ))?;
    }
    out.json(&document)
}

/// Refuses while a daemon serves the store.
fn refuse_beside_a_daemon(config: &Config) -> Result<(), CommandError> {
    let deadline = Instant::now() + Duration::from_secs(5);
    let asked = rpc::connect(&[config.admin_socket.as_path()], deadline)
        .and_then(|mut client| client.call(&admin::Daemon {}, deadline));
    match asked {
        Ok(reply) if reply.state == DaemonState::Refusing => Ok(()),
        Ok(_) => Err(failed(
            ExitStatus::Refused,
            "the daemon serves the store, which must not be replaced under it. Run: systemctl stop 'totpd*.socket' \
             totpd.service",
        )),
        Err(totp_wire::CallError::NoSocket | totp_wire::CallError::ConnectionRefused) => Ok(()),
        Err(error) => Err(call_error::explain(&config.admin_socket, &error)),
    }
}

/// Prints what the restore would do, and returns it as JSON.
fn show(context: &Context, plan: &Plan) -> Result<serde_json::Value, CommandError> {
    let out = context.out;
    out.line(format!("The backup is of store {}, made {}.", plan.manifest.store_id, local(plan.made())))?;
    out.line("Codes of phones that were used before now stay used.")?;
    let mut listed = Vec::new();
    for (user, what, at) in &plan.restored.withdrawn {
        let thing = match what.kind {
            Kind::Factor => "the factor was revoked or replaced",
            Kind::Recovery => "recovery codes were used or replaced, so none of this factor is accepted",
            Kind::Ticket => "an enrollment ticket was used or replaced",
            Kind::Passcode => "a passcode was used, replaced or cancelled",
            Kind::Staged => "a staged change was cancelled or carried out",
            Kind::Remembered => "remembered logins were ended",
            Kind::Client => "an application's secret was revoked",
            Kind::Generation => "the store was restored",
        };
        let whose = user.as_deref().unwrap_or("a user enrolled after the backup");
        out.line(format!("  {}  {whose}: {thing} ({})", local(*at), what.id))?;
        listed.push(json!({
            "user": user, "kind": what.kind.as_str(), "id": what.id, "time": rfc3339(*at),
        }));
    }
    if let Replaced::Unreadable(why) = &plan.replaced {
        out.line(format!(
            "Lost: the store on this host cannot be read ({}), so revocations that only it lists may be unknown.",
            printable(why, 200)
        ))?;
    }
    let unknown = plan.restored.unknown;
    if !plan.listed {
        out.line("Lost: this host has no record of what was revoked, replaced or used after the backup.")?;
        out.line(
            "Revoke again what was revoked since then, and replace recovery codes that were used since then.",
        )?;
    } else if unknown > 0 {
        out.line(format!(
            "Lost: {unknown} more revocations came after the backup, and are no longer listed."
        ))?;
    }
    Ok(json!({
        "store_id": plan.manifest.store_id, "time": rfc3339(plan.made()), "withdrawn": listed,
        "unknown": unknown, "listed": plan.listed, "state_dir": plan.config.state_dir,
    }))
}

/// Reads the identities of an age identity file.
fn identities(path: &Path) -> Result<Vec<age::x25519::Identity>, CommandError> {
    let unreadable = |error| failed(ExitStatus::Usage, format!("{}: {error}", path.display()));
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable)?);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let found: Option<Vec<_>> = lines.map(|line| age::x25519::Identity::from_str(line).ok()).collect();
    found.filter(|found| !found.is_empty()).ok_or_else(|| {
        failed(ExitStatus::Usage, format!("{} has no age identity (AGE-SECRET-KEY-1…)", path.display()))
    })
}

/// `totpd restore --accept`: asks the daemon, because only it may open its folder.
fn accept(context: &Context) -> Result<(), CommandError> {
    let config = context.config()?;
    let end = Instant::now() + REOPEN_TIMEOUT;
    let mut reply = rpc::admin_call(&config, &admin::Accept {})?;
    let reopens = reply.reopens;
    if reopens {
        let reopened = loop {
            let state = rpc::admin_call(&config, &admin::Daemon {})?;
            if state.state == DaemonState::Serving {
                break state;
            }
            if Instant::now() >= end {
                let why = state.why.unwrap_or_default();
                return Err(failed(
                    ExitStatus::Refused,
                    format!("the daemon still refuses every login, for another reason: {why}"),
                ));
            }
            std::thread::sleep(Duration::from_millis(200));
        };
        if reopened.notice.is_some() {
            reply = rpc::admin_call(&config, &admin::Accept {})?;
        }
    }
    let accepted = reopens || reply.withdrawn > 0;
    context.out.line(if accepted {
        format!("accepted; what was revoked after this copy stays revoked ({})", reply.withdrawn)
    } else {
        "the store is not an older copy, so there is nothing to accept".to_owned()
    })?;
    context.out.json(&json!({ "accepted": accepted, "withdrawn": reply.withdrawn }))
}
