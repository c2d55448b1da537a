//! The command line. Each command is one function, which prints text or one JSON document.

pub mod args;
mod authenticators;
mod backup;
mod breakglass;
mod call_error;
mod client;
mod completions;
mod config;
mod config_files;
mod doctor;
mod enroll;
mod enroll_given;
mod enroll_qr;
mod enroll_screens;
mod explain;
mod history;
mod import;
mod output;
mod own_locks;
mod pam;
mod passcode;
mod passphrase;
mod progress;
mod report;
mod report_now;
mod restore;
mod rpc;
mod staged;
mod status;
mod store;
mod subject;
mod table;
mod terminal;
mod user_view;
mod users;
mod verify;

use crate::cli::output::{CommandError, ExitStatus, Output, end, failed};
use crate::config::{Config, ConfigProblem, DEFAULT_PATH, SocketPaths};
use crate::import::home_file::{self, FileOwner};
use crate::{daemon, init, local_time, units};
use args::{Args, Command, ConfigCommand};
use clap::Parser;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The options of every command.
struct Context {
    config_path: PathBuf,
    config_origin: ConfigOrigin,
    out: Output,
}

/// Where the path of the configuration comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ConfigOrigin {
    /// From `--config`.
    CommandLine,
    /// From [`DEFAULT_PATH`]: the file may be missing.
    Default,
}

impl Context {
    /// Reads the configuration. A default file that cannot be read stands for the built-in
    /// defaults.
    fn config(&self) -> Result<Config, CommandError> {
        let readable = std::fs::File::open(&self.config_path).is_ok();
        if self.config_origin == ConfigOrigin::Default && !readable {
            return Ok(Config::defaults(self.config_path.parent().unwrap_or(Path::new("/"))));
        }
        Config::load_for_command(&self.config_path).or_else(|error| {
            if error.problem == ConfigProblem::Untrusted {
                return Err(failed(ExitStatus::Usage, &error));
            }
            // A daemon that refuses a broken file still answers, by its previous configuration.
            let text = std::fs::read_to_string(&self.config_path).unwrap_or_default();
            let SocketPaths { root: root_socket, login: login_socket, admin: admin_socket } =
                Config::sockets_of_broken(&text).ok_or_else(|| failed(ExitStatus::Usage, &error))?;
            output::warn(&format!("{error} (of this file, only the sockets are used)"));
            let defaults = Config::defaults(self.config_path.parent().unwrap_or(Path::new("/")));
            Ok(Config { root_socket, login_socket, admin_socket, ..defaults })
        })
    }
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return output::end_usage(&error),
    };
    if args.utc {
        local_time::use_utc();
    }
    if let Command::ReadHomeFile { uid, gid, path } = &args.command {
        return home_file::serve(path, FileOwner { uid: *uid, gid: *gid }).into();
    }
    let out = Output { json: args.json, quiet: args.quiet };
    let config_origin = if args.config.is_some() { ConfigOrigin::CommandLine } else { ConfigOrigin::Default };
    let config_path = args.config.unwrap_or_else(|| DEFAULT_PATH.into());
    // An absolute path means the same wherever it is printed or joined.
    let config_path = std::path::absolute(&config_path).unwrap_or(config_path);
    let context = Context { config_path, config_origin, out };
    match run(&context, args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => end(&failed, context.out),
    }
}

fn run(context: &Context, command: Command) -> Result<(), CommandError> {
    match command {
        Command::Init { if_missing: true, .. } if already_made(context)? => Ok(()),
        Command::Init { owner, .. } => run_init(context, owner.as_deref()),
        Command::Serve => {
            daemon::run(&context.config_path).map_err(|_logged| failed(ExitStatus::Refused, ""))
        }
        Command::Enroll(given) if given.secret.is_some() => enroll_given::enroll_given(context, given),
        Command::Enroll(enroll) => enroll::enroll(context, enroll),
        Command::Import(args) => import::import(context, &args),
        // `main` has done it: its exit status is not one of a command.
        Command::ReadHomeFile { .. } => Ok(()),
        Command::Confirm { user } => verify::confirm(context, user),
        Command::Verify { user } => verify::verify(context, user),
        Command::Status { user } => users::status(context, user),
        Command::List => users::list(context),
        Command::Revoke { user, name } => users::revoke(context, user, name),
        Command::Unlock { user } => users::unlock(context, &user),
        Command::Passcode(args) => passcode::passcode(context, args),
        Command::Forget { user } => users::forget(context, user),
        Command::RecoveryCodes { user } => enroll::recovery_codes(context, user),
        Command::Cancel { user } => staged::cancel(context, user),
        Command::TrustClock => users::trust_clock(context),
        Command::History { user, limit, since } => history::history(context, user, limit, since),
        Command::Report { since } => report::report(context, since),
        Command::Explain(explain) => explain::explain(context, explain),
        Command::Doctor(args) => doctor::doctor(context, &args),
        Command::Breakglass { user, lasts, directory_user } => {
            breakglass::breakglass(context, &user, lasts, directory_user)
        }
        Command::Backup(args) => backup::backup(context, args),
        Command::Restore(args) => restore::restore(context, &args),
        Command::Client { command } => client::client(context, command),
        Command::Store { command } => store::store(context, &command),
        Command::Completions { shell } => completions::completions(&shell),
        Command::Pam { command } => pam::pam(context, command),
        Command::Config { command: ConfigCommand::Check(args) } => config::check(context, &args),
    }
}

/// Refuses an `init` that would make files of root, which the installed unit's user could not read.
fn refuse_other_owner(context: &Context, owner: Option<&str>) -> Result<(), CommandError> {
    let is_units = context.config_path == Path::new(DEFAULT_PATH) && nix::unistd::geteuid().is_root();
    match units::daemon_user(Path::new("/")).filter(|user| user != "root") {
        Some(user) if is_units && owner.is_none() => {
            let why = format!(
                "totpd.service runs as {user}, which cannot read files of root. Run: {}",
                units::init_command()
            );
            Err(failed(ExitStatus::Usage, why))
        }
        _ => Ok(()),
    }
}

/// Whether a file exists that `totpd init` would refuse to overwrite. Prints which.
fn already_made(context: &Context) -> Result<bool, CommandError> {
    let found =
        init::first_found(&context.config_path).map_err(|error| failed(ExitStatus::Refused, error))?;
    let Some(found) = found else { return Ok(false) };
    context.out.line(format!("nothing was made, because {} exists", found.display()))?;
    let left: Vec<String> =
        init::half_made(&context.config_path).iter().map(|path| path.display().to_string()).collect();
    if !left.is_empty() {
        let (left, call) = (left.join(" "), units::init_command());
        context.out.line(format!(
            "its store does not exist: check that its folder is mounted. Only if this host never had a store (its first \
             boot was interrupted), start again: rm {left} && {call}"
        ))?;
    }
    context.out.json(&json!({ "found": found }))?;
    Ok(true)
}

fn run_init(context: &Context, owner: Option<&str>) -> Result<(), CommandError> {
    refuse_other_owner(context, owner)?;
    let made = init::init(&context.config_path, owner).map_err(|error| failed(ExitStatus::Refused, error))?;
    let (config, out) = (&made.config, context.out);
    if made.wrote_config {
        out.line(format!("wrote {} with the defaults", context.config_path.display()))?;
    }
    out.line(format!("made store {} in {}", made.store_id, config.store_place()))?;
    let key = config.key_file.display();
    out.line(format!("made its key {key}. Back it up now, apart from the store: without the key, every"))?;
    out.line(if units::values(Path::new("/"), units::SERVICE, "ExecStart").is_some() {
        "enrollment is lost. Then start the daemon: systemctl enable --now totpd.service"
    } else {
        "enrollment is lost. Then start the daemon: totpd serve"
    })?;
    out.json(&json!({
        "store_id": made.store_id,
        "state_dir": config.state_dir,
        "key_file": config.key_file,
        "config": context.config_path,
    }))
}
