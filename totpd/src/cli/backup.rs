//! `totpd backup`: writes an encrypted backup and reads it back.

use super::args::Backup;
use super::progress::{self, Progress};
use super::{Context, passphrase};
use crate::backup::{self, Lock, Source, StoreCopy};
use crate::cli::call_error;
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::cli::rpc;
use crate::clock::rfc3339;
use crate::config::StorePlace;
use crate::local_time::local;
use serde_json::json;
use std::time::{Duration, Instant};
use totp_core::Time;
use totp_wire::admin;

/// How long the daemon may take to copy its store. A million users take seconds.
const COPY_TIMEOUT: Duration = Duration::from_mins(30);

/// `totpd backup FILE`
pub(super) fn backup(context: &Context, args: Backup) -> Result<(), CommandError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(failed(
            ExitStatus::Refused,
            "only root may make a backup, because the key is in it. Use sudo",
        ));
    }
    if args.file.symlink_metadata().is_ok() {
        let why =
            format!("{} already exists, and a backup overwrites no file. Name another", args.file.display());
        return Err(failed(ExitStatus::Refused, why));
    }
    let config = context.config()?;
    if config.store != StorePlace::StateDir {
        let (place, key, id) =
            (config.store_place(), config.key_file.display(), config.store_id_file.display());
        let why = format!(
            "the store is {place}. Back it up with PostgreSQL's own tools (pg_basebackup, pg_dump), and keep {key} and {id} \
             beside it: without the key nobody's factor can be verified"
        );
        return Err(failed(ExitStatus::Refused, why));
    }
    let lock = if args.recipient.is_empty() {
        Lock::Passphrase(passphrase::new()?)
    } else {
        Lock::Recipients(args.recipient)
    };
    let deadline = Instant::now() + COPY_TIMEOUT;
    let path = &config.admin_socket;
    let waiting = progress::waiting(context.out, "copying the store");
    let copy = rpc::connect(&[path.as_path()], deadline)
        .and_then(|mut client| client.call(&admin::Backup {}, deadline))
        .map_err(|error| call_error::explain(path, &error))?;
    drop(waiting);
    let copy = StoreCopy {
        state_dir: copy.state_dir.into(),
        file: copy.file,
        size: copy.size,
        store_id: copy.store_id,
        counter: copy.counter,
        generation: copy.generation,
        time: copy.time,
    };
    let source = Source {
        config: &config,
        config_path: &context.config_path,
        copy: &copy,
        with_key: !args.without_key,
    };
    // Each byte is written once and read back once.
    let progress = Progress::start(context.out, 2 * copy.size);
    let made = backup::create(&source, &args.file, lock, &|bytes| progress.add(bytes))
        .map_err(|error| failed(ExitStatus::Refused, error))?;
    drop(progress);
    let (file, out) = (args.file.display(), context.out);
    let time = Time::from_unix(made.manifest.time);
    out.line(format!(
        "wrote {file} ({} KiB) and read it back: store {} at {}",
        made.size / 1024,
        made.manifest.store_id,
        local(time)
    ))?;
    out.line(if args.without_key {
        "The key is not in it. Keep the key file too, apart from this file"
    } else {
        "The key is in it. Anyone who can decrypt this file can compute every user's codes"
    })?;
    out.json(&json!({
        "file": args.file, "size": made.size, "store_id": made.manifest.store_id, "time": rfc3339(time),
        "counter": made.manifest.counter, "generation": made.manifest.generation, "key": !args.without_key,
    }))
}
