//! Compiles the C helpers of the end-to-end tests: a PAM application that can misbehave, and the
//! preload that moves clocks and fails syncs.
#![expect(clippy::disallowed_methods, reason = "a build script is told its folder this way")]

use std::process::Command;

fn main() {
    let out = std::env::var("OUT_DIR").unwrap_or_default();
    for (source, target, flags) in [
        ("native/faults.c", "faults.so", &["-shared", "-fPIC"][..]),
        ("native/pamhost.c", "pamhost", &["-lpam"][..]),
        ("native/flood.c", "flood", &[][..]),
    ] {
        println!("cargo::rerun-if-changed={source}");
        let mut gcc = Command::new("gcc");
        gcc.args(["-O2", "-Wall", "-Werror", "-o", &format!("{out}/{target}"), source]).args(flags);
        let built = gcc.status().is_ok_and(|status| status.success());
        assert!(built, "{source} cannot be built; scripts/bootstrap.sh installs gcc and libpam0g-dev");
    }
    println!("cargo::rustc-env=NATIVE_DIR={out}");
}
