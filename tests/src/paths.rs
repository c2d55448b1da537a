//! Where the build puts what the tests run.

use std::path::{Path, PathBuf};

/// Returns the root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Returns the build's target folder.
pub fn target() -> PathBuf {
    repository().join("target")
}

/// Returns the path of the `totpd` program under test.
pub fn totpd() -> PathBuf {
    target().join("debug/totpd")
}

/// Returns a C helper that the build script compiled.
pub fn native(name: &str) -> PathBuf {
    Path::new(env!("NATIVE_DIR")).join(name)
}

/// Returns a helper script of `tests/native`, which needs no compiler.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("native").join(name)
}

/// Returns the PAM module under test.
pub fn module() -> PathBuf {
    target().join("debug/libpam_totp.so")
}

/// Returns the PAM module that is built to panic when its PAM line asks for it.
pub fn panicking_module() -> PathBuf {
    target().join("fault_injection/debug/libpam_totp.so")
}
