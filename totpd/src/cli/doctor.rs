//! `totpd doctor`: examines this host or a tree, fixes what is totpd's own, and prints the report.

use super::Context;
use super::args::Doctor;
use crate::cli::output::{CommandError, ExitStatus, failed, warn};
use crate::cli::terminal::use_color;
use crate::doctor::ask_daemon::running_host;
use crate::doctor::report::Show;
use crate::doctor::system::Installed;
use crate::doctor::{Host, Report, Severity, StoppedAsking, examine};
use crate::last_run;
use std::io::{BufRead, IsTerminal, Write};

/// `totpd doctor [--fix [--yes]] [--root DIR] [--notes] [--accept] [--journal]`
pub(super) fn doctor(context: &Context, args: &Doctor) -> Result<(), CommandError> {
    if let Some(root) = &args.root {
        if !root.is_dir() {
            return Err(failed(ExitStatus::Usage, format!("{} is not a folder", root.display())));
        }
        let host = Host::of_tree(root, &context.config_path);
        return show(
            context,
            args,
            &examine(&host, &last_run::LastRun::default().asked, StoppedAsking::Report),
        );
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(failed(
            ExitStatus::Refused,
            "only root may read the files that doctor examines. Run: sudo totpd doctor",
        ));
    }
    let stopped = if args.accept { StoppedAsking::Accept } else { StoppedAsking::Report };
    let mut report = examine_host(context, stopped);
    if args.fix && fix(context, args, &report)? {
        // A fix ends its finding, and may bring up another one that was behind it.
        report = examine_host(context, stopped);
    }
    show(context, args, &report)
}

/// Examines this host, and stores the result for the next run.
fn examine_host(context: &Context, stopped: StoppedAsking) -> Report {
    let host = running_host(&context.config_path);
    let config = host.config_or_defaults();
    let before = last_run::read(&config).unwrap_or_default().asked;
    let report = examine(&host, &before, stopped);
    let folder = last_run::folder(&config);
    if let Err(error) = last_run::write(&config, &report.json()) {
        warn(&format!(
            "{} cannot be written ({error}), so the next run has nothing to compare",
            folder.display()
        ));
    } else if let Err(error) = last_run::write_motd(&config) {
        warn(&format!("root's next login will not show the findings ({error})"));
    }
    report
}

fn show(context: &Context, args: &Doctor, report: &Report) -> Result<(), CommandError> {
    let out = context.out;
    let show = Show { notes: args.notes, color: use_color() };
    out.json(&report.json())?;
    if args.journal {
        for line in report.journal() {
            writeln!(std::io::stderr().lock(), "{line}")?;
        }
    } else if !out.json && !out.quiet {
        write!(std::io::stdout().lock(), "{}", report.text(show))?;
        // On a healthy host, a script reads no output.
        if std::io::stdout().is_terminal() || report.worst() > Some(Severity::Note) {
            out.line(report.summary(show))?;
        }
    }
    match report.worst() {
        Some(Severity::Error) => Err(failed(ExitStatus::Errors, "")),
        Some(Severity::Warning) => Err(failed(ExitStatus::Refused, "")),
        Some(Severity::Note) | None => Ok(()),
    }
}

/// Applies the fixes of what is totpd's own. Returns whether one was tried.
fn fix(context: &Context, args: &Doctor, report: &Report) -> Result<bool, CommandError> {
    let fixable: Vec<_> = report.findings.iter().filter_map(|f| Some((f, f.fix.as_ref()?))).collect();
    if !args.yes && !fixable.is_empty() && !std::io::stdin().is_terminal() {
        return Err(failed(
            ExitStatus::Usage,
            "there is no terminal to ask on, so nothing was fixed. Run: totpd doctor --fix --yes",
        ));
    }
    let host = Host::of_tree(std::path::Path::new("/"), &context.config_path);
    let mut tried = false;
    for (finding, fix) in fixable {
        writeln!(std::io::stderr().lock(), "{}: {}\n  {fix}", finding.kind.id, finding.what)?;
        if !args.yes && !agreed()? {
            continue;
        }
        tried = true;
        match fix.apply(&host, &Installed) {
            Ok(()) => writeln!(std::io::stderr().lock(), "  done")?,
            Err(why) => warn(&format!("{}: {why}", finding.kind.id)),
        }
    }
    Ok(tried)
}

fn agreed() -> Result<bool, CommandError> {
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "  Do it? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
