//! `totpd store copy`: copies the store to another database.

use super::Context;
use super::args::{StoreCommand, StoreCopy};
use super::progress::Progress;
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::clock;
use crate::config::Config;
use crate::key::StoreKey;
use crate::seal::Sealer;
use crate::store::copy::{self, Copied, CopyError, Place};
use crate::sync::ignore_poison;
use serde_json::json;
use std::path::Path;
use std::sync::Mutex;

/// `totpd store …`
pub(super) fn store(context: &Context, command: &StoreCommand) -> Result<(), CommandError> {
    match command {
        StoreCommand::Copy(args) => copy_store(context, args),
    }
}

fn copy_store(context: &Context, args: &StoreCopy) -> Result<(), CommandError> {
    let path = &context.config_path;
    let config = match path.symlink_metadata() {
        Ok(_) => Config::load_for_command(path).map_err(|error| failed(ExitStatus::Usage, error))?,
        Err(_) => Config::defaults(path.parent().unwrap_or(Path::new("/"))),
    };
    let place = |text| Place::parse(text).map_err(|error| failed(ExitStatus::Usage, error));
    let (from, to) = (place(&args.from)?, place(&args.to)?);
    let now = clock::now();
    if now < clock::RELEASED {
        let why =
            "this host's clock is behind the release of totpd. Set it first: used codes would be fresh again";
        return Err(failed(ExitStatus::Refused, why));
    }
    // The files that are made are the daemon's alone.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let key = StoreKey::load(&config.key_file).map_err(|error| failed(ExitStatus::Refused, error))?;
    let copied = run(context, &config, &Sealer::new(&key), &from, &to).map_err(|error| {
        let exit =
            if matches!(error, CopyError::SameKind(_)) { ExitStatus::Usage } else { ExitStatus::Refused };
        failed(exit, error)
    })?;
    let out = context.out;
    out.line(format!("Copied and compared {} rows.", copied.rows))?;
    out.paragraph(0, match &to {
        Place::Server(_) => format!(
            "{} is closed: no daemon serves it any more. Set [store] url in {}, and start the daemon",
            args.from,
            path.display()
        ),
        Place::Folder(folder) => format!(
            "{} is closed: no daemon serves it any more. Remove [store] from {}, set state_dir to {}, and start the \
             daemon",
            from_name(&from),
            path.display(),
            folder.display()
        ),
    })?;
    out.json(&json!({ "rows": copied.rows, "resumed": copied.resumed, "store_id": key.store_id }))
}

/// A place without what may be an option of a URL.
fn from_name(place: &Place) -> String {
    match place {
        Place::Folder(folder) => folder.display().to_string(),
        Place::Server(url) => url.to_string(),
    }
}

fn run(
    context: &Context,
    config: &Config,
    sealer: &Sealer,
    from: &Place,
    to: &Place,
) -> Result<Copied, CopyError> {
    let bar: Mutex<Option<Progress>> = Mutex::default();
    let out = context.out;
    let progress = |step| match step {
        copy::Progress::Start(rows) => {
            *ignore_poison(bar.lock()) = Some(Progress::copy(out, rows));
        }
        copy::Progress::Done(rows) => {
            if let Some(bar) = ignore_poison(bar.lock()).as_ref() {
                bar.add(rows);
            }
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(crate::store::OpenError::Thread)?;
    runtime.block_on(async {
        tokio::select! {
            copied = copy::copy_store(config, sealer, from, to, clock::now(), &progress) => copied,
            _ = tokio::signal::ctrl_c() => Err(CopyError::Interrupted),
        }
    })
}
