//! The functions of libpam that `pam-bindings` 0.4.0 does not have. All `unsafe` code of the module
//! is in this file.
#![expect(unsafe_code, reason = "the only file that calls libpam directly")]

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use pam::module::PamHandle;
use zeroize::Zeroizing;

/// `PAM_AUTHTOK` of `security/_pam_types.h`.
const PAM_AUTHTOK: c_int = 6;
/// `PAM_SUCCESS` of the same file.
const PAM_SUCCESS: c_int = 0;

/// `LOG_ERR` of `syslog.h`.
pub(crate) const LOG_ERR: c_int = 3;
/// `LOG_NOTICE` of `syslog.h`.
pub(crate) const LOG_NOTICE: c_int = 5;
/// `LOG_INFO` of `syslog.h`.
pub(crate) const LOG_INFO: c_int = 6;
/// `LOG_DEBUG` of `syslog.h`.
pub(crate) const LOG_DEBUG: c_int = 7;

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_fail_delay(pamh: *mut PamHandle, usec: c_uint) -> c_int;
    fn pam_getenv(pamh: *mut PamHandle, name: *const c_char) -> *const c_char;
    fn pam_set_item(pamh: *mut PamHandle, item_type: c_int, item: *const c_void) -> c_int;
    fn pam_syslog(pamh: *const PamHandle, priority: c_int, format: *const c_char, ...);
}

/// Requests a delay in microseconds, which libpam makes if the stack fails (pam_fail_delay(3)).
pub(crate) fn fail_delay(pamh: &mut PamHandle, micros: u32) {
    // SAFETY: the handle is the valid one that libpam called the module with. The call keeps no
    // pointer.
    unsafe { pam_fail_delay(pamh, micros) };
}

/// Returns a copy of a variable of the PAM environment (pam_getenv(3)), which is not that of the
/// process.
pub(crate) fn getenv(pamh: &mut PamHandle, name: &CStr) -> Option<Vec<u8>> {
    // SAFETY: the handle is valid as above, and `name` ends with a NUL. The result is NULL or a C
    // string that lives until the PAM environment changes, and it is copied before any other call.
    unsafe {
        let value = pam_getenv(pamh, name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value).to_bytes().to_vec())
    }
}

/// Sets `PAM_AUTHTOK` (pam_set_item(3)), and returns whether libpam accepted it. libpam copies the
/// password; the module's own copy is wiped.
pub(crate) fn set_authtok(pamh: &mut PamHandle, password: &[u8]) -> bool {
    let mut text = Zeroizing::new(Vec::with_capacity(password.len() + 1));
    text.extend_from_slice(password);
    text.push(0);
    let Ok(text) = CStr::from_bytes_with_nul(&text) else { return false };
    // SAFETY: the handle is valid as above, and the item is a C string that libpam copies during
    // the call.
    unsafe { pam_set_item(pamh, PAM_AUTHTOK, text.as_ptr().cast()) == PAM_SUCCESS }
}

/// Writes a line to the authpriv log, which libpam prefixes with the name of the service
/// (pam_syslog(3)).
pub(crate) fn syslog(pamh: &PamHandle, priority: c_int, text: &str) {
    let line = totp_wire::text::printable(text, 512);
    let mut line = line.into_bytes();
    line.push(0);
    let Ok(line) = CStr::from_bytes_with_nul(&line) else { return };
    // SAFETY: the handle is valid as above. The format has one %s, and one C string is passed.
    unsafe { pam_syslog(pamh, priority, c"%s".as_ptr(), line.as_ptr()) };
}
