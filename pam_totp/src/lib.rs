//! `pam_totp.so`: asks totpd to verify the second factor, and relays between totpd and the user.
//!
//! The module runs inside sshd, sudo and login as root. It holds no key and cannot verify a code.
//! It never starts a thread or a process, reads no environment variable, writes nothing to stdout
//! or stderr, and every error is a refusal: [`outcome`] has the table.
//!
//! ```text
//! args ─▶ attempt ─▶ Begin ─▶ show messages, prompt ─▶ Answer ─▶ … ─▶ verdict ─▶ outcome
//!  totp_wire attempt.rs        relay.rs                                  outcome.rs
//! ```
//!
//! `pam-bindings` is isolated: [`guard`] keeps panics from it, [`host`] copies every item before
//! the first prompt, [`libpam`] has the calls that it lacks and all of the module's `unsafe` code.
#![deny(unsafe_code)]
#![expect(missing_docs, reason = "the six public functions come from pam_hooks!")]

#[cfg(not(panic = "unwind"))]
compile_error!("the module turns panics into refusals: build it with panic = \"unwind\"");

mod attempt;
mod guard;
mod host;
mod libpam;
mod outcome;
mod relay;
mod stack;

use attempt::Messages;
use pam::constants::{PAM_SILENT, PamFlag, PamResultCode};
use pam::module::{PamHandle, PamHooks};
use std::ffi::CStr;

/// The module's version, which `totpd doctor` reads from the file of the module without loading it.
#[used]
static VERSION: &str = concat!("totpd-module-version=", env!("CARGO_PKG_VERSION"), "\n");

/// The type that `pam_hooks!` exports as a PAM module.
struct Totp;

pam::pam_hooks!(Totp);

impl PamHooks for Totp {
    fn sm_authenticate(pamh: &mut PamHandle, args: Vec<&CStr>, flags: PamFlag) -> PamResultCode {
        let messages = if flags & PAM_SILENT == 0 { Messages::Shown } else { Messages::Silent };
        guard::run(pamh, |host| relay::authenticate(host, &args, messages))
    }

    // No call to the daemon: this may run in another process than authenticate, or without it
    // (cron, sshd with a key). PAM_SUCCESS, since libpam refuses a stack in which every module
    // ignores setcred (pam_dispatch.c).
    fn sm_setcred(_: &mut PamHandle, _: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        PamResultCode::PAM_SUCCESS
    }

    // acct_mgmt, open_session, close_session and chauthtok: PAM_IGNORE, the default of the trait.
}
