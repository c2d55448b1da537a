//! `/v1/users`: users, and the enrollments that are taken away through them.

use crate::engine::api::{NewUser, Scope, UserChange};
use crate::http::v1::auth::Context;
use crate::http::v1::body::{Answer, Body, Nested, Unsupported, fields, required, unsupported};
use crate::http::v1::error::ApiError;
use crate::http::v1::user_search;
use crate::http::v1::user_view::User;
use axum::extract::Path;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use totp_core::contact::{MailAddress, PhoneNumber, is_ambiguous};
use totp_core::profile::FullName;
use totp_core::{UserName, external_id};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

type Answered<T> = Result<Answer<T>, ApiError>;

/// The routes. A user may be called `search`, which is a route of its own.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(user_search::search))
        .routes(routes!(get, update, delete))
        .routes(routes!(delete_totp))
        .routes(routes!(delete_external_id))
        .route(
            "/v1/users/search",
            axum::routing::get(|context| get(context, named_search()))
                .put(|context, body| update(context, named_search(), body))
                .delete(|context| delete(context, named_search())),
        )
}

fn named_search() -> Path<String> {
    Path("search".to_owned())
}

/// A person's name.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct NameFields {
    first_name: Option<String>,
    middle_name: Option<String>,
    last_name: Option<String>,
}

/// What a user is made of. One of `email`, `phone_number` and `external_id` is needed.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct CreateUser {
    email: Option<String>,
    /// E.164, such as +12025550123.
    phone_number: Option<String>,
    /// The login name; `@` and whatever else is no letter, digit, `.`, `_`, `-` or `|` as `||` and two hexadecimal
    /// digits: `alice||40corp`.
    external_id: Option<String>,
    #[schema(value_type = Option<NameFields>)]
    name: Option<Nested<NameFields>>,
    create_user_as_pending: Option<bool>,
    #[schema(value_type = Option<Object>)]
    trusted_metadata: Option<Map<String, Value>>,
    #[schema(value_type = Option<Object>)]
    untrusted_metadata: Option<Map<String, Value>>,
    roles: Option<Vec<String>>,
}

/// What is changed of a user.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct UpdateUser {
    #[schema(value_type = Option<NameFields>)]
    name: Option<Nested<NameFields>>,
    /// Merged key by key; null takes a key away.
    #[schema(value_type = Option<Object>)]
    trusted_metadata: Option<Map<String, Value>>,
    /// Merged key by key; null takes a key away.
    #[schema(value_type = Option<Object>)]
    untrusted_metadata: Option<Map<String, Value>>,
    /// Another one than there was takes the scope admin.
    external_id: Option<String>,
    roles: Option<Vec<String>>,
    // Older versions of Stytch's API replaced addresses with these.
    #[schema(ignore)]
    email: Unsupported,
    #[schema(ignore)]
    emails: Unsupported,
    #[schema(ignore)]
    phone_number: Unsupported,
    #[schema(ignore)]
    phone_numbers: Unsupported,
}

#[derive(Debug, Serialize, ToSchema)]
struct UserCreated {
    user_id: String,
    /// Empty when there is none.
    email_id: String,
    /// Empty when there is none.
    phone_id: String,
    status: &'static str,
    user: User,
}

#[derive(Debug, Serialize, ToSchema)]
struct UserUpdated {
    user_id: String,
    emails: Vec<crate::http::v1::user_view::Email>,
    phone_numbers: Vec<crate::http::v1::user_view::PhoneNumber>,
    #[schema(value_type = Vec<Object>)]
    crypto_wallets: [(); 0],
    user: User,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserChanged {
    pub(crate) user_id: String,
    pub(crate) user: User,
}

#[derive(Debug, Serialize, ToSchema)]
struct UserDeleted {
    user_id: String,
}

impl From<NameFields> for FullName {
    fn from(name: NameFields) -> Self {
        Self {
            first: name.first_name.unwrap_or_default(),
            middle: name.middle_name.unwrap_or_default(),
            last: name.last_name.unwrap_or_default(),
        }
    }
}

/// The login name of an external id that is to be set: not one of our ids, and no look-alike of another name.
fn login_name(external_id: &str) -> Result<UserName, ApiError> {
    let name = external_id::to_name(external_id)
        .filter(|name| !crate::engine::api::is_id("user", external_id) && !is_ambiguous(name.as_str()));
    name.ok_or_else(|| {
        ApiError::invalid(
            "invalid_external_id",
            "external_id has 1 to 128 letters, digits, '.', '_', '-' or '|'; other characters of a login name are \
             written as '||' and two hexadecimal digits, as in alice||40corp. A name has no invisible or combining character.",
        )
    })
}

fn change(
    name: Option<Nested<NameFields>>,
    trusted: Option<Map<String, Value>>,
    untrusted: Option<Map<String, Value>>,
    roles: Option<Vec<String>>,
) -> UserChange {
    UserChange {
        full_name: name.map(|Nested(name)| name.into()),
        trusted_metadata: trusted.unwrap_or_default(),
        untrusted_metadata: untrusted.unwrap_or_default(),
        roles,
        name: None,
    }
}

/// Makes a user.
#[utoipa::path(post, path = "/v1/users", operation_id = "users_create", responses((status = 200, body = Answer<UserCreated>)), request_body = CreateUser)]
async fn create(context: Context, Body(fields): Body<CreateUser>) -> Answered<UserCreated> {
    context.may(Scope::Enroll)?;
    let email = fields.email.filter(|email| !email.is_empty());
    let email = email.map(|email| MailAddress::parse(&email)).transpose().map_err(|_| {
        let message = "Email format is invalid. It is name@domain in ASCII, without a display name, quotes or comments.";
        ApiError::invalid("invalid_email", message)
    })?;
    let phone = fields.phone_number.filter(|phone| !phone.is_empty());
    let phone = phone.map(|phone| PhoneNumber::parse(&phone)).transpose().map_err(|_| {
        let message = "phone_number format is invalid: it is '+' and up to 15 digits (E.164).";
        ApiError::invalid("invalid_phone_number", message)
    })?;
    let name = fields.external_id.as_deref().map(login_name).transpose()?;
    if email.is_none() && phone.is_none() && name.is_none() {
        return Err(ApiError::bad_request("One of email, phone_number and external_id is needed."));
    }
    let pending = fields.create_user_as_pending.unwrap_or(false);
    let change = change(fields.name, fields.trusted_metadata, fields.untrusted_metadata, fields.roles);
    let Context { engine, caller, .. } = &context;
    let made = engine.create_user(caller, NewUser { email, phone, name, pending, change }).await?;
    let user = User::of(engine, caller, made);
    let (email_id, phone_id) = user.contact_ids();
    let body = UserCreated { user_id: user.user_id.clone(), email_id, phone_id, status: user.status, user };
    Ok(Answer::new(&caller.request_id, body))
}

/// A user, by id or external id.
#[utoipa::path(get, path = "/v1/users/{user_id}", operation_id = "users_get", params(("user_id" = String, Path)),
    responses((status = 200, body = Answer<User>)))]
async fn get(context: Context, Path(user): Path<String>) -> Answered<User> {
    let Context { engine, caller, .. } = &context;
    let user = User::of(engine, caller, engine.find_user(caller, &user).await?);
    Ok(Answer::new(&caller.request_id, user))
}

/// Changes a user.
#[utoipa::path(put, path = "/v1/users/{user_id}", operation_id = "users_update", params(("user_id" = String, Path)), request_body = UpdateUser,
    responses((status = 200, body = Answer<UserUpdated>)))]
async fn update(
    context: Context,
    Path(user): Path<String>,
    Body(fields): Body<UpdateUser>,
) -> Answered<UserUpdated> {
    context.may(Scope::Enroll)?;
    let instead = "Addresses are set by users.create alone.";
    unsupported(fields.email, "email", instead)?;
    unsupported(fields.emails, "emails", instead)?;
    unsupported(fields.phone_number, "phone_number", instead)?;
    unsupported(fields.phone_numbers, "phone_numbers", instead)?;
    let name = fields.external_id.as_deref().map(login_name).transpose()?;
    let change = change(fields.name, fields.trusted_metadata, fields.untrusted_metadata, fields.roles);
    let Context { engine, caller, .. } = &context;
    let stored = engine.update_user(caller, &user, &UserChange { name, ..change }).await?;
    let user = User::of(engine, caller, stored);
    let body = UserUpdated {
        user_id: user.user_id.clone(),
        emails: user.emails.clone(),
        phone_numbers: user.phone_numbers.clone(),
        crypto_wallets: [],
        user,
    };
    Ok(Answer::new(&caller.request_id, body))
}

/// Forgets a user, with TOTPs and sessions.
#[utoipa::path(delete, path = "/v1/users/{user_id}", operation_id = "users_delete", params(("user_id" = String, Path)),
    responses((status = 200, body = Answer<UserDeleted>)))]
async fn delete(context: Context, Path(user): Path<String>) -> Answered<UserDeleted> {
    context.may(Scope::Admin)?;
    let Context { engine, caller, .. } = &context;
    let user_id = engine.delete_user(caller, &user).await?;
    Ok(Answer::new(&caller.request_id, UserDeleted { user_id }))
}

/// Takes a TOTP away. Sessions go on.
#[utoipa::path(delete, path = "/v1/users/totps/{totp_id}", operation_id = "users_delete_totp", params(("totp_id" = String, Path)),
    responses((status = 200, body = Answer<UserChanged>)))]
async fn delete_totp(context: Context, Path(totp): Path<String>) -> Answered<UserChanged> {
    context.may(Scope::Admin)?;
    let Context { engine, caller, .. } = &context;
    let user = User::of(engine, caller, engine.delete_totp(caller, &totp).await?);
    Ok(Answer::new(&caller.request_id, UserChanged { user_id: user.user_id.clone(), user }))
}

/// Takes a user's external id away: the TOTP lets nobody log in any more.
#[utoipa::path(delete, path = "/v1/users/{user_id}/external_id", operation_id = "users_delete_external_id", params(("user_id" = String, Path)),
    responses((status = 200, body = Answer<UserChanged>)))]
async fn delete_external_id(context: Context, Path(user): Path<String>) -> Answered<UserChanged> {
    context.may(Scope::Admin)?;
    let Context { engine, caller, .. } = &context;
    let user = User::of(engine, caller, engine.remove_external_id(caller, &user).await?);
    Ok(Answer::new(&caller.request_id, UserChanged { user_id: user.user_id.clone(), user }))
}

/// Reads a body as those of these routes, for fuzzing.
pub(crate) fn read_bodies(bytes: &[u8]) -> [Result<(), ApiError>; 2] {
    let created = fields::<CreateUser>(bytes).and_then(|body| {
        body.external_id.as_deref().map(login_name).transpose()?;
        Ok(())
    });
    let updated = fields::<UpdateUser>(bytes).and_then(|body| {
        body.external_id.as_deref().map(login_name).transpose()?;
        unsupported(body.email, "email", "")
    });
    [created, updated]
}

/// A user who has to be named.
pub(crate) fn user_id(field: Option<String>) -> Result<String, ApiError> {
    required(field, "user_id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_ours_is_nobodys_external_id() {
        assert!(login_name("alice").is_ok() && login_name("user-alice").is_ok());
        assert!(login_name(&format!("user-{}", "a".repeat(26))).is_err());
        assert!(login_name("alice@corp").is_err());
        // A zero-width space, and an accent that is a character of its own.
        assert!(login_name("alice||E2||80||8B").is_err() && login_name("jose||CC||81").is_err());
    }
}
