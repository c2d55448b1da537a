//! Users as applications see them: made, found, changed, forgotten.

use super::super::withdrawals::counted;
use super::{ApiRefusal, Caller, Engine, Scope};
use crate::clock;
use crate::engine::{EngineError, MOST_RACES, default_commit_deadline};
use crate::os_random::Kernel;
use crate::store::{AccountKey, AccountWrite, Stored, UserPage, UserQuery};
use serde_json::{Map, Value};
use totp_core::account::new_id;
use totp_core::contact::{MailAddress, PhoneNumber};
use totp_core::lock::SourceClass;
use totp_core::profile::{Contact, FullName, Profile, merge};
use totp_core::withdrawal::withdrawn_factors;
use totp_core::{Account, Time, UserName};

/// The most that a user's profile may take, in bytes of JSON.
const PROFILE_BYTES: usize = 16 * 1024;

/// A user to make.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    /// The mail address.
    pub email: Option<MailAddress>,
    /// The phone number.
    pub phone: Option<PhoneNumber>,
    /// The login name.
    pub name: Option<UserName>,
    /// Pending until the first accepted code.
    pub pending: bool,
    /// The rest.
    pub change: UserChange,
}

/// What may be changed of a user.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// The person's name.
    pub full_name: Option<FullName>,
    /// Merged, key by key.
    pub trusted_metadata: Map<String, Value>,
    /// Merged, key by key.
    pub untrusted_metadata: Map<String, Value>,
    /// Replaces those there were.
    pub roles: Option<Vec<String>>,
    /// Another login name.
    pub name: Option<UserName>,
}

/// A user as one client sees him.
#[derive(Debug)]
pub struct UserView {
    /// The record, with what has expired gone.
    pub account: Account<()>,
    /// Since when, and until when, this client's attempts are refused.
    pub lock: Option<(Time, Time)>,
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
        let text = serde_json::to_string(profile).unwrap_or_default();
        if text.len() > PROFILE_BYTES {
            return Err(ApiRefusal::ProfileTooLarge);
        }
        // Whatever made it: what could not be read again would cost the user his factor.
        let again: Option<Profile> = serde_json::from_str(&text).ok();
        let whole = again.is_some_and(|again| again == *profile);
        if whole {
            Ok(())
        } else {
            Err(ApiRefusal::Unavailable("a profile would not be read as it was written".to_owned()))
        }
    }
}

impl Engine {
    /// Makes a user.
    ///
    /// # Errors
    /// [`ApiRefusal::Taken`] when another one has name, address or number; nothing was changed then.
    pub async fn create_user(&self, caller: &Caller, new: NewUser) -> Result<Stored, ApiRefusal> {
        let (name, uid) = match new.name {
            Some(name) => {
                let (name, uid) = self.resolve(name).await?;
                (Some(name), uid)
            }
            None => (None, None),
        };
        let failed = |_| ApiRefusal::Unavailable("the system's random source failed".to_owned());
        let contact = |kind: &str, address: Option<String>| {
            address.map(|address| Ok(Contact { id: new_id(kind, &mut Kernel)?, address })).transpose()
        };
        let mut profile = Profile {
            email: contact("email", new.email.map(Into::into)).map_err(failed)?,
            phone: contact("phone-number", new.phone.map(Into::into)).map_err(failed)?,
            pending: new.pending,
            ..Profile::default()
        };
        new.change.apply(&mut profile)?;
        let id = new_id("user", &mut Kernel).map_err(failed)?;
        self.change_with(AccountKey::Id(id.clone()), true, &default_commit_deadline(), |slot, now| {
            // The key is new: nobody has it, and only name, address and number can be another's.
            let blank = Account::blank(id.clone(), name.clone(), uid, now);
            let account = slot.insert(Account { profile: Box::new(profile.clone()), ..blank });
            let event = caller.event("user-create", account.display_name(), Some(&id), now);
            Ok::<_, ApiRefusal>(((), event, Vec::new()))
        })
        .await?;
        self.user(&id).await
    }

    /// A user.
    ///
    /// # Errors
    /// [`ApiRefusal`].
    pub async fn find_user(&self, caller: &Caller, user: &str) -> Result<Stored, ApiRefusal> {
        self.user_in_turn(caller, user).await
    }

    /// A page of users, and how many there are in all when they are few enough to be counted.
    ///
    /// # Errors
    /// [`ApiRefusal`].
    pub async fn search_users(&self, mut query: UserQuery) -> Result<UserPage, ApiRefusal> {
        if let Some(why) = self.store.poisoned() {
            return Err(ApiRefusal::Unavailable(why));
        }
        query.now = clock::now();
        Ok(self.store.search(query).await.map_err(EngineError::from)?)
    }

    /// Changes a user. Another login name than the one there was takes the scope `admin`: with it his factor lets
    /// in somebody else.
    ///
    /// # Errors
    /// [`ApiRefusal`]; nothing was changed then.
    pub async fn update_user(
        &self,
        caller: &Caller,
        user: &str,
        change: &UserChange,
    ) -> Result<Stored, ApiRefusal> {
        let found = self.user(user).await?.account;
        let id = found.id.clone();
        let name = match change.name.clone() {
            Some(name) => Some(self.resolve(name).await?),
            None => None,
        };
        self.change_of(caller, &found, true, |slot, now| {
            let account = slot.as_mut().ok_or(ApiRefusal::UserNotFound)?;
            account.expire_pending(now);
            change.apply(&mut account.profile)?;
            if let Some((name, uid)) = &name
                && (account.name.as_ref(), account.uid) != (Some(name), *uid)
            {
                let bound = account.name.is_some() || account.has_factor();
                if bound && caller.scope < Scope::Admin {
                    return Err(ApiRefusal::Scope);
                }
                rebind(account, Some(name.clone()), *uid);
            }
            let event = caller.event("user-update", account.display_name(), Some(&id), now);
            Ok(((), event, Vec::new()))
        })
        .await?;
        self.user(&id).await
    }

    /// Takes a user's login name away: his factor lets nobody log in any more.
    ///
    /// # Errors
    /// [`ApiRefusal`]; nothing was changed then.
    pub async fn remove_external_id(&self, caller: &Caller, user: &str) -> Result<Stored, ApiRefusal> {
        let found = self.user(user).await?.account;
        let id = found.id.clone();
        self.change_of(caller, &found, false, |slot, now| {
            let account = slot.as_mut().ok_or(ApiRefusal::UserNotFound)?;
            let event = caller.event("user-update", account.display_name(), Some(&id), now);
            rebind(account, None, None);
            Ok(((), event, Vec::new()))
        })
        .await?;
        self.user(&id).await
    }

    /// Forgets a user, with factors and sessions; his id.
    ///
    /// # Errors
    /// [`ApiRefusal`]; nothing was changed then.
    pub async fn delete_user(&self, caller: &Caller, user: &str) -> Result<String, ApiRefusal> {
        let found = self.user(user).await?.account;
        let id = found.id.clone();
        let _turn = self.turn_of(caller, found.display_name()).await?;
        for _ in 0..MOST_RACES {
            // Not opened: a record that is damaged can be forgotten, too.
            let stored = self.load(AccountKey::Id(id.clone())).await.map_err(EngineError::from)?;
            let stored = stored.ok_or(ApiRefusal::UserNotFound)?;
            let now = clock::now();
            let event = caller.event("user-delete", stored.account.display_name(), Some(&id), now);
            let write = AccountWrite::Delete(id.clone(), stored.version);
            let also = counted(withdrawn_factors(&stored.account, None, now));
            if self.store_admin(write, also, false, event, now, &default_commit_deadline()).await?.is_some() {
                return Ok(id);
            }
        }
        Err(ApiRefusal::Busy)
    }

    /// What a client sees of a user.
    pub fn view_of(&self, caller: &Caller, stored: Stored) -> UserView {
        let now = clock::now();
        let class = SourceClass::Client(caller.client.clone());
        let locks = stored.account.guard.locked(now);
        let lock = locks.into_iter().find(|lock| lock.class == class).map(|lock| (lock.since, lock.until));
        let Ok(mut account) = stored.account.try_map(|_, _| Ok::<(), std::convert::Infallible>(()));
        account.expire_pending(now);
        UserView { account, lock }
    }
}

/// Gives the account another name, or none. What was remembered was remembered of the old one.
fn rebind(account: &mut Account, name: Option<UserName>, uid: Option<u32>) {
    account.name = name;
    account.uid = uid;
    account.ticket = None;
    account.forget();
}
