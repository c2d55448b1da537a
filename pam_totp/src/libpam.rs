//! The calls of libpam that `pam-bindings` 0.4.0 lacks. All `unsafe` of the module is here.
#![expect(unsafe_code, reason = "the one file that calls libpam itself")]

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

/// `pam_fail_delay(3)`: the delay, in microseconds, that libpam makes when the stack fails.
pub(crate) fn fail_delay(pamh: &mut PamHandle, micros: u32) {
    // SAFETY: the handle is the valid one that libpam called the module with; the call keeps no
    // pointer.
    unsafe { pam_fail_delay(pamh, micros) };
}

/// `pam_getenv(3)`: a copy of a variable of the PAM environment, which is not the process's.
pub(crate) fn getenv(pamh: &mut PamHandle, name: &CStr) -> Option<Vec<u8>> {
    // SAFETY: handle as above, `name` ends with a NUL; what is returned is NULL or a C string that
    // lives until the environment changes, and it is copied before anything else is called.
    unsafe {
        let value = pam_getenv(pamh, name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value).to_bytes().to_vec())
    }
}

/// `pam_set_item(3)` with `PAM_AUTHTOK`; says whether libpam took it. It copies the text; ours is
/// wiped.
pub(crate) fn set_authtok(pamh: &mut PamHandle, password: &[u8]) -> bool {
    let mut text = Zeroizing::new(Vec::with_capacity(password.len() + 1));
    text.extend_from_slice(password);
    text.push(0);
    let Ok(text) = CStr::from_bytes_with_nul(&text) else { return false };
    // SAFETY: handle as above; the item is a C string that libpam copies during the call.
    unsafe { pam_set_item(pamh, PAM_AUTHTOK, text.as_ptr().cast()) == PAM_SUCCESS }
}

/// `pam_syslog(3)`: one line to the authpriv log, with the service's name before it.
pub(crate) fn syslog(pamh: &PamHandle, priority: c_int, text: &str) {
    let line = totp_wire::text::printable(text, 512);
    let mut line = line.into_bytes();
    line.push(0);
    let Ok(line) = CStr::from_bytes_with_nul(&line) else { return };
    // SAFETY: handle as above; the format has one %s and one C string goes with it.
    unsafe { pam_syslog(pamh, priority, c"%s".as_ptr(), line.as_ptr()) };
}
