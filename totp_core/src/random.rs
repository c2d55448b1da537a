//! Randomness as an argument: the daemon passes the kernel's generator, tests pass a fixed
//! sequence.

/// A source of unpredictable bytes. The daemon reads the kernel's generator (getrandom(2)).
pub trait Random {
    /// Fills all of `out` with random bytes.
    ///
    /// # Errors
    /// When the source fails. The content of `out` is unspecified then.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomFailed>;
}

/// The random source failed, and its output must not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomFailed;

impl core::fmt::Display for RandomFailed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the system's random source failed")
    }
}

impl core::error::Error for RandomFailed {}

/// Returns `N` random bytes.
///
/// # Errors
/// When the source fails.
pub fn bytes<const N: usize>(random: &mut impl Random) -> Result<[u8; N], RandomFailed> {
    let mut out = [0; N];
    random.fill(&mut out)?;
    Ok(out)
}

#[cfg(test)]
#[path = "../tests/common/mod.rs"]
pub(crate) mod testing;
