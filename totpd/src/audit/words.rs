//! The words of the audit: each is one variant here, and stands in docs/reference/audit.md.

use serde::{Deserialize, Serialize, Serializer};
use std::hash::{Hash, Hasher};
use totp_core::Reason;

/// Declares an enum whose variants are words of the audit: the type, its words in order, and their
/// text.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every word.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word, as the log and the history have it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

words! {
    /// What an event is about: the field `event`.
    EventKind {
        /// A login, or another program that asks through PAM.
        Login = "login",
        /// A code or recovery code that an application passes on.
        Authenticate = "authenticate",
        /// A session of an application: looked at, extended or ended.
        Session = "session",
        /// A factor is staged.
        Enroll = "enroll",
        /// A factor of another tool is taken over.
        Import = "import",
        /// An administrator makes an enrollment ticket.
        Ticket = "ticket",
        /// An administrator makes or cancels a passcode.
        Passcode = "passcode",
        /// The first code of a staged factor.
        Confirm = "confirm",
        /// A factor is removed.
        Revoke = "revoke",
        /// An administrator ends the locks of a user.
        Unlock = "unlock",
        /// Remembered logins are forgotten.
        Forget = "forget",
        /// The recovery codes are replaced.
        RecoveryCodes = "recovery-codes",
        /// An application shows recovery codes again.
        ShowRecoveryCodes = "show-recovery-codes",
        /// A staged change is cancelled.
        Cancel = "cancel",
        /// The user has read that something is staged or changed.
        Notice = "notice",
        /// A factor that nobody confirmed in time is removed.
        Expire = "expire",
        /// An application makes a user.
        UserCreate = "user-create",
        /// An application changes a user.
        UserUpdate = "user-update",
        /// An application deletes a user.
        UserDelete = "user-delete",
        /// An administrator makes a secret of an application.
        ClientAdd = "client-add",
        /// An administrator revokes secrets of an application.
        ClientRevoke = "client-revoke",
        /// The keys that sign tokens are rotated.
        SigningKey = "signing-key",
        /// An application comes with bad credentials.
        Client = "client",
        /// A user who is not an administrator calls `org.totpd.Admin`.
        Admin = "admin",
        /// An administrator declares the clock right.
        TrustClock = "trust-clock",
        /// Break-glass begins, ends, or decides a login.
        BreakGlass = "breakglass",
        /// The store is copied for a backup.
        Backup = "backup",
        /// A store is restored, or an older copy accepted.
        Restore = "restore",
        /// The store is copied to another database, which is this one.
        Copy = "copy",
        /// The log lacks lines that nobody read in time.
        LogDropped = "log-dropped",
    }
}

words! {
    /// How an event ended: the field `outcome`.
    EventOutcome {
        /// The factor was proved.
        Granted = "granted",
        /// The user passes without a code that counts.
        Exempt = "exempt",
        /// The user does not pass, or nothing was changed.
        Refused = "refused",
        /// A factor is shown inside a login.
        Offered = "offered",
        /// It was done, and the reply reached nobody.
        Undelivered = "undelivered",
        /// It was done.
        Done = "done",
        /// A change of a factor in use waits for its delay to end.
        Staged = "staged",
        /// Break-glass has begun.
        Started = "started",
        /// A session, a passcode, or break-glass, has ended.
        Ended = "ended",
    }
}

words! {
    /// How a user proved the factor, or the leave to change it: the field `method`.
    Method {
        /// A code of the authenticator app.
        Totp = "totp",
        /// A recovery code.
        Recovery = "recovery",
        /// A grant that is remembered.
        Remembered = "remembered",
        /// An enrollment ticket of an administrator.
        Ticket = "ticket",
        /// A passcode of an administrator.
        Passcode = "passcode",
        /// The break-glass code.
        BreakGlass = "breakglass",
    }
}

words! {
    /// What enforcement would have done with a login that passes: the field `would`.
    Would {
        /// Asked for a code.
        Ask = "asked",
        /// Refused, whatever the user types.
        Refuse = "refused",
        /// Offered a factor inside the login.
        Enroll = "enrolled",
        /// Let pass: the rule is off, or exempts.
        Exempt = "exempt",
    }
}

words! {
    /// Why a call or a login was refused before or beside judging a code.
    UnjudgedReason {
        /// No user of the system has the name.
        UnknownUser = "unknown-user",
        /// The name belongs to another uid than when it was enrolled.
        UidChanged = "uid-changed",
        /// The record cannot be used.
        Damaged = "damaged",
        /// It was revoked, replaced or spent after this copy of the store was made.
        Withdrawn = "withdrawn",
        /// No such ticket, or one of another factor.
        BadTicket = "bad-ticket",
        /// The break-glass code was right, and could not be recorded.
        NotRecorded = "not-recorded",
        /// Whether it was stored is not known: the disk, the connection or the wait for a standby
        /// failed during the commit. Its code may be used.
        InDoubt = "in-doubt",
        /// The system's random source failed.
        NoRandomness = "no-randomness",
        /// An application came with bad credentials.
        BadCredentials = "bad-credentials",
        /// The session is over, or never was.
        NoSession = "no-session",
        /// The text is not a token of this store.
        BadToken = "bad-token",
        /// Too many requests, a full disk, or a lost race.
        Busy = "busy",
        /// A user directory does not answer.
        DirectoryStuck = "directory-stuck",
        /// The client closed the connection before anything was judged.
        HungUp = "hung-up",
        /// Only administrators may call this.
        NotAnAdministrator = "not-an-administrator",
        /// The helpdesk may not act on this user.
        ProtectedUser = "protected-user",
        /// A user may ask about themselves only.
        NotYours = "not-yours",
        /// The store cannot be used.
        StoreUnavailable = "store-unavailable",
        /// The client's deadline passed before anything was judged.
        TooLate = "too-late",
        /// A code of the factor in use is needed.
        CodeNeeded = "code-needed",
        /// A ticket is needed.
        TicketNeeded = "ticket-needed",
        /// The site does not let users do this.
        Off = "off",
        /// A change is staged already.
        AlreadyStaged = "already-staged",
        /// The user cancelled twice in a short time.
        CancelledTwice = "cancelled-twice",
        /// No change is staged.
        NothingStaged = "nothing-staged",
    }
}

/// Why something was refused: the fields `reason` and `would_reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventReason {
    /// What judging the input found.
    Judged(Reason),
    /// Anything else.
    Unjudged(UnjudgedReason),
}

impl EventReason {
    /// The word, as the log and the history have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Judged(reason) => reason.as_str(),
            Self::Unjudged(reason) => reason.as_str(),
        }
    }
}

impl Hash for EventReason {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl From<Reason> for EventReason {
    fn from(reason: Reason) -> Self {
        Self::Judged(reason)
    }
}

impl From<UnjudgedReason> for EventReason {
    fn from(reason: UnjudgedReason) -> Self {
        Self::Unjudged(reason)
    }
}

impl Serialize for EventReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
