//! Randomness from the kernel.

use rand::TryRng;
use rand::rngs::SysRng;
use totp_core::{Random, RandomFailed};

/// `getrandom(2)`. An error is handed on, never covered up.
#[derive(Debug, Default)]
pub struct Kernel;

impl Random for Kernel {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomFailed> {
        SysRng.try_fill_bytes(out).map_err(|_| RandomFailed)
    }
}
