//! Turns panics into refusals: no panic reaches `pam-bindings` or the host's stderr, or ends the
//! process.
//!
//! `pam-bindings` drops a caught payload outside its own catch, so a payload that panics when
//! dropped would abort sshd's child (and OpenSSH would then penalise the client's address). Here it
//! is leaked instead.

use crate::host::{Host, Level, Pam};
use crate::outcome::Outcome;
use pam::constants::PamResultCode;
use pam::module::PamHandle;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Once;

/// Sets the panic hook once. The module has its own copy of the standard library, so the host's
/// hook is not replaced.
static SILENCE: Once = Once::new();

/// Runs `work`. A panic in it is logged and becomes a refusal.
pub(crate) fn run(pamh: &mut PamHandle, work: impl FnOnce(&mut Pam<'_>) -> Outcome) -> PamResultCode {
    SILENCE.call_once(|| set_hook(Box::new(|_| {})));
    let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut Pam(&mut *pamh))));
    match outcome {
        Ok(outcome) => outcome.code(),
        Err(payload) => {
            std::mem::forget(payload);
            Pam(pamh).log(Level::Error, "internal error (panic); refusing. Please report this");
            Outcome::Broken.code()
        }
    }
}

/// Panics in the way that `panic=` asks for, in a test build.
#[cfg(feature = "fault_injection")]
#[expect(clippy::panic, reason = "that is what it is for")]
pub(crate) fn injected(kind: Option<&str>) {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the payload panics too");
        }
    }
    match kind {
        None => {}
        Some("bomb") => std::panic::panic_any(Bomb),
        Some(_) => panic!("injected"),
    }
}
