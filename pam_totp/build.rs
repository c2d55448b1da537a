//! Links the module so that it stays loaded once it was: libpam calls `dlclose` at `pam_end`, and
//! unloading the Rust runtime from a running host is not safe (rust-lang/rust#91979).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete,-z,now,-z,relro");
}
