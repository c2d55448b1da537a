//! `totpd import`: takes over the factors of another tool, one user after the other.

mod report;
mod sources;

use super::Context;
use crate::cli::args::Import;
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::cli::progress::Progress;
use crate::cli::rpc::try_admin_call;
use crate::clock;
use crate::config::Config;
use crate::import::entry::{Entry, Factor};
use crate::import::home_file::HomeFileError;
use report::{NewCodes, Outcome, Report, Row, Run};
use sources::{Content, Source};
use std::collections::BTreeSet;
use totp_wire::{CallError, SecretText, admin, service};

/// Files that may fail to be read in time.
const MAX_TIMEOUTS: usize = 20;

/// An entry, and where it was found.
struct Found {
    source: usize,
    entry: Entry,
}

/// `totpd import FORMAT [SOURCE…]`
pub(super) fn import(context: &Context, args: &Import) -> Result<(), CommandError> {
    let (config, out) = (context.config()?, context.out);
    if args.recovery_codes {
        out.require_shown("the recovery codes")?;
    }
    let sources = sources::all(args)?;
    let mut report = Report::new(if args.dry_run { Run::Dry } else { Run::Real });
    let found = read(context, args, &sources, &mut report)?;
    let progress = Progress::count(out, found.len());
    let mut done = BTreeSet::new();
    let mut stopped = None;
    for Found { source, entry } in found {
        let source = &sources[source];
        match take_over(&config, args, source, entry, &mut done) {
            Ok(row) => report.add(row),
            Err(why) => {
                stopped = Some(why);
                break;
            }
        }
        progress.add(1);
    }
    drop(progress);
    report.print(out)?;
    match stopped {
        Some(why) => Err(why),
        None if report.refused() > 0 => Err(failed(
            ExitStatus::Refused,
            format!("{} could not be imported, for the reasons above", report.refused()),
        )),
        None => Ok(()),
    }
}

/// Reads every source. What cannot be read is in the report.
///
/// # Errors
/// When many files were not read in time: a file server that hangs would take hours.
fn read(
    context: &Context,
    args: &Import,
    sources: &[Source],
    report: &mut Report,
) -> Result<Vec<Found>, CommandError> {
    let mut timeouts = 0;
    let progress = Progress::count(context.out, sources.len());
    let mut found = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        match source.read(args.format) {
            Content::Entries(entries) => {
                found.extend(entries.into_iter().map(|entry| Found { source: index, entry }));
            }
            Content::Absent => report.absent(),
            Content::Unreadable(why) => {
                let user = source.user.as_ref().map(|user| user.name.clone());
                report.add(Row::new(user, source.name(), None, Outcome::Refused(why)));
            }
            Content::TimedOut if timeouts == MAX_TIMEOUTS => {
                let why = "many homes were not read within 5 s, so nothing was imported. Does their file server answer?";
                return Err(failed(ExitStatus::Refused, why));
            }
            Content::TimedOut => {
                timeouts += 1;
                let (user, why) =
                    (source.user.as_ref().map(|user| user.name.clone()), HomeFileError::TimedOut);
                report.add(Row::new(user, source.name(), None, Outcome::Refused(why.to_string())));
            }
        }
        progress.add(1);
    }
    Ok(found)
}

/// Takes over one entry.
///
/// # Errors
/// When the daemon does not answer, or cannot store anything: the next entry would fare no better.
fn take_over(
    config: &Config,
    args: &Import,
    source: &Source,
    entry: Entry,
    done: &mut BTreeSet<String>,
) -> Result<Row, CommandError> {
    let known = entry.user.filter(|name| is_user(source, name));
    let row = |outcome| Row::new(known.clone(), source.name(), Some(entry.line), outcome);
    let factor = match entry.factor {
        Ok(factor) => factor,
        Err(refusal) => return Ok(row(Outcome::Refused(refusal.to_string()))),
    };
    let Some(user) = known.clone() else {
        return Ok(row(Outcome::Refused("it names no user of this system".to_owned())));
    };
    if done.contains(&user) {
        let why = "it is a further factor of this user, and an import takes one. Add it with: totpd enroll USER --add \
                   --name NAME --secret -";
        return Ok(row(Outcome::Refused(why.to_owned())));
    }
    let call = call(args, source, &user, &factor);
    let outcome = match try_admin_call(config, &call) {
        Ok(reply) => {
            done.insert(user);
            Outcome::Imported(reply)
        }
        Err((CallError::Error { name, .. }, _)) if name == admin::ALREADY_ENROLLED => {
            let why = if source.optional {
                "the user has a factor, or had one that was revoked. To import it all the same, name the user"
            } else {
                "the user has a factor. To replace it, add --replace"
            };
            Outcome::Skipped(why.to_owned())
        }
        Err((CallError::Error { name, .. }, explained)) if concerns_one_user(&name) => {
            Outcome::Refused(explained.why)
        }
        Err((_, explained)) => return Err(explained),
    };
    let mut row = row(outcome);
    row.describe(&factor, if args.recovery_codes { NewCodes::Shown } else { NewCodes::Kept });
    Ok(row)
}

fn call(args: &Import, source: &Source, user: &str, factor: &Factor) -> admin::Import {
    admin::Import {
        user: user.to_owned(),
        uid: source.user.as_ref().map(|user| user.owner.uid),
        given: admin::GivenSecret {
            secret: SecretText::new(factor.secret.to_base32()),
            allow_short: args.allow_short.then_some(true),
        },
        algorithm: Some(factor.params.algorithm.as_str().to_owned()),
        digits: Some(factor.params.digits.get()),
        period: Some(factor.params.period.seconds()),
        used_steps: Some(latest(factor.used_steps(clock::now()))),
        lifetime: args.expires.map(|time| time.as_secs()),
        replace: args.replace.then_some(true),
        keep_revoked: source.optional.then_some(true),
        dry_run: args.dry_run.then_some(true),
    }
}

/// The latest steps: the daemon takes 64, and the last one alone decides about a code.
fn latest(mut steps: Vec<u64>) -> Vec<u64> {
    steps.sort_unstable();
    let excess = steps.len().saturating_sub(16);
    steps.split_off(excess)
}

/// Whether the name is that of a user: any other text of a file may be a secret in the wrong place,
/// and is not shown.
fn is_user(source: &Source, name: &str) -> bool {
    source.user.as_ref().is_some_and(|user| user.name == name)
        || nix::unistd::User::from_name(name).is_ok_and(|user| user.is_some())
}

/// Whether an error is about one user, so that the others can still be imported.
fn concerns_one_user(name: &str) -> bool {
    [admin::NO_SUCH_USER, admin::UID_CHANGED, admin::NOT_ENROLLED, service::INVALID_PARAMETER].contains(&name)
}
