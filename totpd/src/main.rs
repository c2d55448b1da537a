//! `totpd`: the daemon and the command line in one binary.

use std::alloc::System;
use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory that is freed, because secrets pass through buffers of hyper, rustls and
/// serde_json.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> std::process::ExitCode {
    totpd::main()
}
