//! Helpers of the integration tests and the unit tests.

use totp_core::{Random, RandomFailed};

/// A deterministic source of bytes for tests, made from a seed.
pub(crate) struct Counting(pub(crate) u64);

impl Random for Counting {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomFailed> {
        for byte in out {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = self.0.to_be_bytes()[0];
        }
        Ok(())
    }
}
