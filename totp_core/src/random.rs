//! Randomness as an argument.

/// A source of bytes that nobody can foresee. The daemon's is the kernel; tests count.
pub trait Random {
    /// Fills `out` whole, or fails and promises nothing about its content.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomFailed>;
}

/// The source of randomness failed; nothing may be made from what it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomFailed;

impl core::fmt::Display for RandomFailed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the system's random source failed")
    }
}

impl core::error::Error for RandomFailed {}

/// `N` random bytes.
///
/// # Errors
/// When the source fails.
pub fn bytes<const N: usize>(random: &mut impl Random) -> Result<[u8; N], RandomFailed> {
    let mut out = [0; N];
    random.fill(&mut out)?;
    Ok(out)
}

#[cfg(test)]
pub(crate) mod testing {
    use super::{Random, RandomFailed};

    /// Deterministic bytes: a different one each time, never random.
    pub(crate) struct Counting(pub(crate) u64);

    impl Random for Counting {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomFailed> {
            for byte in out {
                self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = self.0.to_be_bytes()[0];
            }
            Ok(())
        }
    }
}
