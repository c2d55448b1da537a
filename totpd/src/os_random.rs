//! Random bytes of the operating system.

use rand::TryRng;
use rand::rngs::SysRng;
use totp_core::{Random, RandomFailed};

/// The kernel's random source, getrandom(2). Its errors are returned, and never replaced by weaker
/// randomness.
#[derive(Debug, Default)]
pub struct Kernel;

impl Random for Kernel {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomFailed> {
        SysRng.try_fill_bytes(out).map_err(|_| RandomFailed)
    }
}
