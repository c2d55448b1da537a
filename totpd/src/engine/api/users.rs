//! Users of applications: created, found, changed and deleted.

use super::super::withdrawals::counted;
use super::contact_kind::{self, ContactKind};
use super::{ApiRefusal, Caller, Engine, Scope};
use crate::audit::EventKind;
use crate::clock;
use crate::engine::{EngineError, MOST_RACES, default_commit_deadline};
use crate::os_random::Kernel;
use crate::store::{AccountKey, AccountWrite, SpaceUse, StoredAccount, UserFilter, UserPage, UserQuery};
use serde_json::{Map, Value};
use totp_core::account::new_id;
use totp_core::contact::{MailAddress, PhoneNumber};
use totp_core::lock::SourceClass;
use totp_core::profile::{FullName, Profile, merge};
use totp_core::withdrawal::withdrawn_factors;
use totp_core::{Account, Time, UserName};

/// The largest profile of a user, in bytes of JSON.
const MAX_PROFILE_BYTES: usize = 16 * 1024;

/// A new user.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    /// The email address.
    pub email: Option<MailAddress>,
    /// The phone number.
    pub phone: Option<PhoneNumber>,
    /// The login name.
    pub name: Option<UserName>,
    /// Whether the user is pending until the first accepted code.
    pub pending: bool,
    /// Name, metadata and roles.
    pub change: UserChange,
}

/// Changes of a user.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// The person's name, which replaces the old one.
    pub full_name: Option<FullName>,
    /// Merged key by key into the old metadata.
    pub trusted_metadata: Map<String, Value>,
    /// Merged key by key into the old metadata.
    pub untrusted_metadata: Map<String, Value>,
    /// Roles, which replace the old ones.
    pub roles: Option<Vec<String>>,
    /// A new login name.
    pub name: Option<UserName>,
}

/// A user as one client sees them.
#[derive(Debug)]
pub struct UserView {
    /// The record without secrets and without an expired TOTP.
    pub account: Account<()>,
    /// Since when, and until when, codes from this client are refused.
    pub lock: Option<(Time, Time)>,
}

/// How the filters of a search combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// A user matches all filters.
    All,
    /// A user matches at least one filter.
    Any,
}

/// A search for users. Without filters it finds all users.
#[derive(Clone, Debug)]
pub struct UserSearch {
    /// How the filters combine.
    pub operator: Match,
    /// The filters.
    pub filters: Vec<UserFilter>,
    /// The last user of the previous page: their creation time and id.
    pub after: Option<(Time, String)>,
    /// The most users on a page.
    pub limit: usize,
}

/// A page of users.
#[derive(Debug)]
pub struct FoundUsers {
    /// The users, by their creation time.
    pub users: Vec<UserView>,
    /// The last user of this page, if there is another page.
    pub next: Option<(Time, String)>,
    /// The number of users on all pages; `None` if they are too many to count.
    pub total: Option<u64>,
}

impl UserView {
    /// The view of this client.
    pub(super) fn new(caller: &Caller, stored: StoredAccount) -> Self {
        let now = clock::now();
        let class = SourceClass::Client(caller.client.clone());
        let locks = stored.account.lock_state.locked(now);
        let lock = locks.into_iter().find(|lock| lock.class == class).map(|lock| (lock.since, lock.until));
        let Ok(mut account) = stored.account.try_map(|_, _| Ok::<(), std::convert::Infallible>(()));
        account.expire_pending(now);
        Self { account, lock }
    }
}

impl UserChange {
    fn apply(&self, profile: &mut Profile) -> Result<(), ApiRefusal> {
        if let Some(name) = &self.full_name {
            profile.name = Some(name.clone());
        }
        merge(&mut profile.trusted_metadata, self.trusted_metadata.clone());
        merge(&mut profile.untrusted_metadata, self.untrusted_metadata.clone());
        if let Some(roles) = &self.roles {
            profile.roles.clone_from(roles);
        }
        let unreadable = || ApiRefusal::Unavailable("a profile cannot be stored in JSON".to_owned());
        let text = serde_json::to_string(profile).map_err(|_| unreadable())?;
        if text.len() > MAX_PROFILE_BYTES {
            return Err(ApiRefusal::ProfileTooLarge);
        }
        // A record that cannot be read back would cost the user their factor.
        let read_back: Profile = serde_json::from_str(&text).map_err(|_| unreadable())?;
        if read_back == *profile { Ok(()) } else { Err(unreadable()) }
    }
}

impl Engine {
    /// Creates a user.
    ///
    /// # Errors
    /// [`ApiRefusal::Taken`] when another user has the name, the address or the number; nothing was
    /// changed then.
    pub async fn create_user(&self, caller: &Caller, new: NewUser) -> Result<UserView, ApiRefusal> {
        let (name, uid) = match new.name {
            Some(name) => {
                let (name, uid) = self.resolve_name(name).await?;
                (Some(name), uid)
            }
            None => (None, None),
        };
        let contact = |kind, address: Option<String>| {
            address.map(|address| contact_kind::contact(kind, address)).transpose()
        };
        let mut profile = Profile {
            email: contact(ContactKind::Email, new.email.map(Into::into))?,
            phone: contact(ContactKind::Phone, new.phone.map(Into::into))?,
            pending: new.pending,
            ..Profile::default()
        };
        new.change.apply(&mut profile)?;
        let id = new_id("user", &mut Kernel)?;
        self.change_with(
            AccountKey::Id(id.clone()),
            SpaceUse::Growing,
            &default_commit_deadline(),
            |slot, now| {
                // The id is new. Only the name, the address and the number can belong to another
                // user.
                let blank = Account::blank(id.clone(), name.clone(), uid, now);
                let account = slot.insert(Account { profile: Box::new(profile.clone()), ..blank });
                let event = caller.event(EventKind::UserCreate, account.display_name(), Some(&id), now);
                Ok::<_, ApiRefusal>(((), event, Vec::new()))
            },
        )
        .await?;
        Ok(UserView::new(caller, self.user(&id).await?))
    }

    /// Reads a user.
    ///
    /// # Errors
    /// [`ApiRefusal`].
    pub async fn find_user(&self, caller: &Caller, user: &str) -> Result<UserView, ApiRefusal> {
        Ok(UserView::new(caller, self.load_user_fairly(caller, user).await?))
    }

    /// Finds a page of users.
    ///
    /// # Errors
    /// [`ApiRefusal`].
    pub async fn search_users(&self, caller: &Caller, search: UserSearch) -> Result<FoundUsers, ApiRefusal> {
        if let Some(why) = self.store.health().reason() {
            return Err(ApiRefusal::Unavailable(why));
        }
        let UserSearch { operator, filters, after, limit } = search;
        let query = UserQuery { any: operator == Match::Any, filters, after, limit, now: clock::now() };
        let UserPage { users, next, total } =
            self.store.search_users(query).await.map_err(EngineError::from)?;
        let users = users.into_iter().map(|stored| UserView::new(caller, stored)).collect();
        Ok(FoundUsers { users, next, total })
    }

    /// Changes a user. Replacing a login name needs the scope `admin`, since the user's factor then
    /// grants logins under another name.
    ///
    /// # Errors
    /// [`ApiRefusal`]; nothing was changed then.
    pub async fn update_user(
        &self,
        caller: &Caller,
        user: &str,
        change: &UserChange,
    ) -> Result<UserView, ApiRefusal> {
        let found = self.user(user).await?.account;
        let id = found.id.clone();
        let name = match change.name.clone() {
            Some(name) => Some(self.resolve_name(name).await?),
            None => None,
        };
        self.change_user(caller, &found, SpaceUse::Growing, |slot, now| {
            let account = slot.as_mut().ok_or(ApiRefusal::UserNotFound)?;
            account.expire_pending(now);
            change.apply(&mut account.profile)?;
            if let Some((name, uid)) = &name
                && (account.name.as_ref(), account.uid) != (Some(name), *uid)
            {
                let is_bound = account.name.is_some() || account.has_factor();
                if is_bound && caller.scope < Scope::Admin {
                    return Err(ApiRefusal::Scope);
                }
                rebind(account, Some(name.clone()), *uid);
            }
            let event = caller.event(EventKind::UserUpdate, account.display_name(), Some(&id), now);
            Ok(((), event, Vec::new()))
        })
        .await?;
        Ok(UserView::new(caller, self.user(&id).await?))
    }

    /// Removes a user's login name: their factor can no longer be used to log in.
    ///
    /// # Errors
    /// [`ApiRefusal`]; nothing was changed then.
    pub async fn remove_external_id(&self, caller: &Caller, user: &str) -> Result<UserView, ApiRefusal> {
        let found = self.user(user).await?.account;
        let id = found.id.clone();
        self.change_user(caller, &found, SpaceUse::Essential, |slot, now| {
            let account = slot.as_mut().ok_or(ApiRefusal::UserNotFound)?;
            let event = caller.event(EventKind::UserUpdate, account.display_name(), Some(&id), now);
            rebind(account, None, None);
            Ok(((), event, Vec::new()))
        })
        .await?;
        Ok(UserView::new(caller, self.user(&id).await?))
    }

    /// Deletes a user with their factors and sessions, and returns their id.
    ///
    /// # Errors
    /// [`ApiRefusal`]; nothing was changed then.
    pub async fn delete_user(&self, caller: &Caller, user: &str) -> Result<String, ApiRefusal> {
        let found = self.user(user).await?.account;
        let id = found.id.clone();
        let _lock = self.lock_user(caller, found.display_name()).await?;
        for _ in 0..MOST_RACES {
            // The record is not opened, so that a damaged one can be deleted.
            let stored = self.load(AccountKey::Id(id.clone())).await.map_err(EngineError::from)?;
            let stored = stored.ok_or(ApiRefusal::UserNotFound)?;
            let now = clock::now();
            let event = caller.event(EventKind::UserDelete, stored.account.display_name(), Some(&id), now);
            let write = AccountWrite::Delete(id.clone(), stored.version);
            let side_writes = counted(withdrawn_factors(&stored.account, None, now));
            if self
                .store_admin(write, side_writes, SpaceUse::Essential, event, now, &default_commit_deadline())
                .await?
                .is_some()
            {
                return Ok(id);
            }
        }
        Err(ApiRefusal::Busy)
    }
}

/// Sets or removes the login name of an account. Remembered logins, the enrollment ticket and the
/// passcode belong to the old name.
fn rebind(account: &mut Account, name: Option<UserName>, uid: Option<u32>) {
    account.name = name;
    account.uid = uid;
    account.ticket = None;
    account.passcode = None;
    account.forget_remembered();
}
