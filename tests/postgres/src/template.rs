//! The data folder that every server starts from. `initdb` takes a second or more, a copy a tenth
//! of it.

use crate::programs::{as_server_user, folder, run};
use crate::scratch;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Copies the template to `data`. Makes the template first when no earlier test has.
pub(crate) fn copy_to(data: &Path) {
    let kept = template();
    // The build may belong to another user. Then nothing is kept.
    if !kept.exists() && std::fs::create_dir_all(kept.parent().unwrap()).is_err() {
        return make(data);
    }
    if !kept.exists() {
        keep(&kept);
    }
    copy(&kept, data);
    own_all(data);
}

/// The template of this version, in the build's target folder: `cargo clean` removes it.
fn template() -> PathBuf {
    let mut postgres = Command::new(folder().join("postgres"));
    postgres.arg("--version");
    let version = String::from_utf8(run(postgres).stdout).unwrap();
    // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
    let version = version.split_whitespace().nth(2).unwrap();
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/postgres");
    target.join(format!("template-{version}-{}", nix::unistd::geteuid()))
}

fn make(data: &Path) {
    let mut initdb = as_server_user("initdb");
    // Segments of 1 MiB, since each server has some. The superuser's name and the locale do not
    // depend on the host.
    initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
    initdb.args(["--wal-segsize=1", "--no-sync", "--no-instructions", "--pgdata"]).arg(data);
    run(initdb);
}

/// Makes the template and keeps it at `path`.
fn keep(path: &Path) {
    let data = scratch::data("initdb");
    make(&data);
    // Tests run in parallel processes: the first one to rename it wins, and all are equal.
    let mut own = path.as_os_str().to_owned();
    own.push(format!(".{}", std::process::id()));
    let own = PathBuf::from(own);
    copy(&data, &own);
    if std::fs::rename(&own, path).is_err() {
        std::fs::remove_dir_all(&own).unwrap();
    }
    std::fs::remove_dir_all(&data).unwrap();
}

fn copy(from: &Path, to: &Path) {
    let mut cp = Command::new("cp");
    cp.args(["-a", "--reflink=auto"]).arg(from).arg(to);
    run(cp);
}

fn own_all(data: &Path) {
    if let Some(user) = crate::programs::server_user() {
        let mut chown = Command::new("chown");
        chown.arg("-R").arg(format!("{}:{}", user.uid, user.gid)).arg(data);
        run(chown);
    }
}
