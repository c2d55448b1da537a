//! What an administrator does for a user who is without their phone.

use crate::account::Account;
use crate::passcode::Passcode;
use crate::time::Time;
use crate::verified::{How, Verified};

impl<S> Account<S> {
    /// Gives the user a passcode, and replaces the one before.
    pub fn set_passcode(&mut self, passcode: Passcode) {
        self.notices.record_passcode(passcode.made);
        self.passcode = Some(passcode);
    }

    /// Deletes the passcode. Returns whether there was one that could still be used.
    pub fn cancel_passcode(&mut self, now: Time) -> bool {
        self.passcode.take().is_some_and(|passcode| passcode.is_open(now))
    }

    /// Returns when the passcode expires, if there is one that can still be used.
    pub fn passcode_expires(&self, now: Time) -> Option<Time> {
        self.passcode.as_ref().filter(|passcode| passcode.is_open(now)).map(|passcode| passcode.expires)
    }

    /// Spends the passcode, which was just compared: it is never accepted again. `None` without an
    /// active factor, which it stands in for.
    pub(crate) fn spend_passcode(&mut self) -> Option<Verified> {
        self.active.as_ref()?;
        let made = self.passcode.take()?.made;
        Some(Verified::new("", How::Passcode { made }))
    }
}
