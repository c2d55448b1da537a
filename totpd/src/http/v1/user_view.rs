//! Users as the API's responses show them, with every field that the SDKs need.

use crate::clock::rfc3339;
use crate::engine::api::UserView;
use serde::Serialize;
use serde_json::{Map, Value};
use totp_core::external_id;
use totp_core::profile::FullName;
use utoipa::ToSchema;

/// A mail address of a user.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Email {
    email_id: String,
    #[schema(format = Email)]
    email: String,
    verified: bool,
}

/// A phone number of a user.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct PhoneNumber {
    phone_id: String,
    phone_number: String,
    verified: bool,
}

/// A TOTP of a user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Totp {
    totp_id: String,
    /// Whether its first code was accepted.
    verified: bool,
}

/// A person's name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Name {
    first_name: String,
    middle_name: String,
    last_name: String,
}

/// The state of a user.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum UserStatus {
    /// The default, and after the first accepted code.
    Active,
    /// Made as pending, and no code was accepted yet.
    Pending,
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User {
    pub(crate) user_id: String,
    /// The login name, escaped as an external id.
    external_id: Option<String>,
    pub(crate) status: UserStatus,
    pub(crate) emails: Vec<Email>,
    pub(crate) phone_numbers: Vec<PhoneNumber>,
    totps: Vec<Totp>,
    name: Option<Name>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(value_type = Object)]
    trusted_metadata: Map<String, Value>,
    #[schema(value_type = Object)]
    untrusted_metadata: Map<String, Value>,
    roles: Vec<String>,
    /// Whether codes from this client are refused now.
    is_locked: bool,
    #[schema(format = DateTime)]
    lock_created_at: Option<String>,
    #[schema(format = DateTime)]
    lock_expires_at: Option<String>,
    /// Always empty: this server has no other factors.
    #[schema(value_type = Vec<Object>)]
    webauthn_registrations: [(); 0],
    #[schema(value_type = Vec<Object>)]
    providers: [(); 0],
    #[schema(value_type = Vec<Object>)]
    crypto_wallets: [(); 0],
    #[schema(value_type = Vec<Object>)]
    biometric_registrations: [(); 0],
    #[schema(value_type = Option<Object>)]
    password: Option<()>,
}

impl From<UserView> for User {
    fn from(UserView { account, lock }: UserView) -> Self {
        let active = account.authenticators().map(|f| Totp { totp_id: f.id.clone(), verified: true });
        let pending = account.pending.iter().map(|f| Totp { totp_id: f.id.clone(), verified: false });
        let totps = active.chain(pending).collect();
        let profile = *account.profile;
        let email =
            |c: totp_core::profile::Contact| Email { email_id: c.id, email: c.address, verified: false };
        let phone = |c: totp_core::profile::Contact| PhoneNumber {
            phone_id: c.id,
            phone_number: c.address,
            verified: false,
        };
        let name = |FullName { first, middle, last }: FullName| Name {
            first_name: first,
            middle_name: middle,
            last_name: last,
        };
        Self {
            user_id: account.id,
            external_id: account.name.as_ref().map(external_id::of_name),
            status: if profile.pending { UserStatus::Pending } else { UserStatus::Active },
            emails: profile.email.map(email).into_iter().collect(),
            phone_numbers: profile.phone.map(phone).into_iter().collect(),
            totps,
            name: profile.name.map(name),
            created_at: rfc3339(account.created),
            trusted_metadata: profile.trusted_metadata,
            untrusted_metadata: profile.untrusted_metadata,
            roles: profile.roles,
            is_locked: lock.is_some(),
            lock_created_at: lock.map(|(since, _)| rfc3339(since)),
            lock_expires_at: lock.map(|(_, until)| rfc3339(until)),
            webauthn_registrations: [],
            providers: [],
            crypto_wallets: [],
            biometric_registrations: [],
            password: None,
        }
    }
}

impl User {
    /// The ids of the email and of the phone number; an absent one has an empty id.
    pub(crate) fn contact_ids(&self) -> (String, String) {
        let email = self.emails.first().map(|email| email.email_id.clone());
        let phone = self.phone_numbers.first().map(|phone| phone.phone_id.clone());
        (email.unwrap_or_default(), phone.unwrap_or_default())
    }
}
