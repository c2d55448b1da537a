//! `/v1/users`: creates, reads, changes and deletes users, and deletes their TOTPs.

use crate::engine::api::{NewUser, Scope, UserChange};
use crate::http::v1::auth::Context;
use crate::http::v1::body::{Answer, ApiResult, Body, Nested, Unsupported, parse, refuse};
use crate::http::v1::error::ApiError;
use crate::http::v1::user_view::{Email, PhoneNumber as ShownPhoneNumber, User, UserStatus};
use crate::http::v1::{contact_fields, user_search};
use axum::extract::Path;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use totp_core::contact::is_ambiguous;
use totp_core::profile::FullName;
use totp_core::{UserName, external_id};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes. A user may have the external id `search`, which is also the path of a route.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(user_search::search))
        .routes(routes!(get, update, delete))
        .routes(routes!(delete_totp))
        .routes(routes!(delete_external_id))
        .route(
            "/v1/users/search",
            axum::routing::get(|context| get(context, named("search")))
                .put(|context, body| update(context, named("search"), body))
                .delete(|context| delete(context, named("search"))),
        )
}

/// The path of a user with this external id.
pub(super) fn named(external_id: &str) -> Path<String> {
    Path(external_id.to_owned())
}

/// A person's name.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct NameFields {
    first_name: Option<String>,
    middle_name: Option<String>,
    last_name: Option<String>,
}

/// A new user. One of `email`, `phone_number` and `external_id` is needed.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct CreateUser {
    /// `name@domain` in ASCII.
    #[schema(format = Email)]
    email: Option<String>,
    /// E.164, such as +12025550123.
    #[schema(pattern = r"^(\+[1-9][0-9]{6,14})?$")]
    phone_number: Option<String>,
    /// The login name. A byte that is not a letter, a digit, `.`, `_`, `-` or `|` is written as
    /// `||` and two hexadecimal digits: `alice||40corp` for `alice@corp`.
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

/// Changes of a user.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct UpdateUser {
    #[schema(value_type = Option<NameFields>)]
    name: Option<Nested<NameFields>>,
    /// Merged key by key; null removes a key.
    #[schema(value_type = Option<Object>)]
    trusted_metadata: Option<Map<String, Value>>,
    /// Merged key by key; null removes a key.
    #[schema(value_type = Option<Object>)]
    untrusted_metadata: Option<Map<String, Value>>,
    /// Changing an external id needs the scope `admin`.
    external_id: Option<String>,
    roles: Option<Vec<String>>,
    // Older versions of Stytch's API changed addresses with these.
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
    /// Empty if there is none.
    email_id: String,
    /// Empty if there is none.
    phone_id: String,
    status: UserStatus,
    user: User,
}

#[derive(Debug, Serialize, ToSchema)]
struct UserUpdated {
    user_id: String,
    emails: Vec<Email>,
    phone_numbers: Vec<ShownPhoneNumber>,
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

/// The login name of a new external id. Ids of users and names that look like another one are
/// refused, and so are `.` and `..`: clients remove such segments from a path, also when they are
/// percent-encoded (RFC 3986 section 5.2.4, URL Standard section 4.4).
fn login_name(external_id: &str) -> Result<UserName, ApiError> {
    if matches!(external_id, "." | "..") {
        let message = "external_id cannot be '.' or '..': clients remove them from the path of a URL.";
        return Err(ApiError::invalid("invalid_external_id", message));
    }
    let name = external_id::to_name(external_id)
        .filter(|name| !crate::engine::api::is_id("user", external_id) && !is_ambiguous(name.as_str()));
    name.ok_or_else(|| {
        ApiError::invalid(
            "invalid_external_id",
            "external_id has 1 to 128 letters, digits, '.', '_', '-' or '|'. Write each byte of other characters as '||' \
             and two hexadecimal digits, as in alice||40corp. Invisible and combining characters are not allowed.",
        )
    })
}

/// The changes that both routes have in common.
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

/// Creates a user.
#[utoipa::path(post, path = "/v1/users", operation_id = "users_create", tag = "users", responses((status = 200, body = Answer<UserCreated>)), request_body = CreateUser)]
async fn create(context: Context, Body(fields): Body<CreateUser>) -> ApiResult<UserCreated> {
    context.require(Scope::Enroll)?;
    let email = fields.email.filter(|email| !email.is_empty());
    let email = email.map(|text| contact_fields::email(&text)).transpose()?;
    let phone = fields.phone_number.filter(|phone| !phone.is_empty());
    let phone = phone.map(|text| contact_fields::phone_number(&text)).transpose()?;
    let name = fields.external_id.as_deref().map(login_name).transpose()?;
    if email.is_none() && phone.is_none() && name.is_none() {
        return Err(ApiError::bad_request("One of email, phone_number and external_id is needed."));
    }
    let pending = fields.create_user_as_pending.unwrap_or(false);
    let change = change(fields.name, fields.trusted_metadata, fields.untrusted_metadata, fields.roles);
    let Context { engine, caller, .. } = &context;
    let created = engine.create_user(caller, NewUser { email, phone, name, pending, change }).await?;
    let user = User::from(created);
    let (email_id, phone_id) = user.contact_ids();
    let body = UserCreated { user_id: user.user_id.clone(), email_id, phone_id, status: user.status, user };
    Ok(Answer::new(&caller.request_id, body))
}

/// Reads a user, by id or external id.
#[utoipa::path(get, path = "/v1/users/{user_id}", operation_id = "users_get", tag = "users", params(("user_id" = String, Path)),
    responses((status = 200, body = Answer<User>)))]
async fn get(context: Context, Path(user): Path<String>) -> ApiResult<User> {
    let Context { engine, caller, .. } = &context;
    let user = User::from(engine.find_user(caller, &user).await?);
    Ok(Answer::new(&caller.request_id, user))
}

/// Changes a user.
#[utoipa::path(put, path = "/v1/users/{user_id}", operation_id = "users_update", tag = "users", params(("user_id" = String, Path)), request_body = UpdateUser,
    responses((status = 200, body = Answer<UserUpdated>)))]
async fn update(
    context: Context,
    Path(user): Path<String>,
    Body(fields): Body<UpdateUser>,
) -> ApiResult<UserUpdated> {
    context.require(Scope::Enroll)?;
    let instead = "Only users.create sets addresses.";
    refuse(fields.email, "email", instead)?;
    refuse(fields.emails, "emails", instead)?;
    refuse(fields.phone_number, "phone_number", instead)?;
    refuse(fields.phone_numbers, "phone_numbers", instead)?;
    let name = fields.external_id.as_deref().map(login_name).transpose()?;
    let change = change(fields.name, fields.trusted_metadata, fields.untrusted_metadata, fields.roles);
    let Context { engine, caller, .. } = &context;
    let user = User::from(engine.update_user(caller, &user, &UserChange { name, ..change }).await?);
    let body = UserUpdated {
        user_id: user.user_id.clone(),
        emails: user.emails.clone(),
        phone_numbers: user.phone_numbers.clone(),
        crypto_wallets: [],
        user,
    };
    Ok(Answer::new(&caller.request_id, body))
}

/// Deletes a user with their TOTPs and sessions.
#[utoipa::path(delete, path = "/v1/users/{user_id}", operation_id = "users_delete", tag = "users", params(("user_id" = String, Path)),
    responses((status = 200, body = Answer<UserDeleted>)))]
async fn delete(context: Context, Path(user): Path<String>) -> ApiResult<UserDeleted> {
    context.require(Scope::Admin)?;
    let Context { engine, caller, .. } = &context;
    let user_id = engine.delete_user(caller, &user).await?;
    Ok(Answer::new(&caller.request_id, UserDeleted { user_id }))
}

/// Deletes a TOTP. Sessions stay open.
#[utoipa::path(delete, path = "/v1/users/totps/{totp_id}", operation_id = "users_delete_totp", tag = "users", params(("totp_id" = String, Path)),
    responses((status = 200, body = Answer<UserChanged>)))]
async fn delete_totp(context: Context, Path(totp): Path<String>) -> ApiResult<UserChanged> {
    context.require(Scope::Admin)?;
    let Context { engine, caller, .. } = &context;
    let user = User::from(engine.delete_totp(caller, &totp).await?);
    Ok(Answer::new(&caller.request_id, UserChanged { user_id: user.user_id.clone(), user }))
}

/// Removes a user's external id: their TOTP can no longer be used to log in.
#[utoipa::path(delete, path = "/v1/users/{user_id}/external_id", operation_id = "users_delete_external_id", tag = "users", params(("user_id" = String, Path)),
    responses((status = 200, body = Answer<UserChanged>)))]
pub(super) async fn delete_external_id(context: Context, Path(user): Path<String>) -> ApiResult<UserChanged> {
    context.require(Scope::Admin)?;
    let Context { engine, caller, .. } = &context;
    let user = User::from(engine.remove_external_id(caller, &user).await?);
    Ok(Answer::new(&caller.request_id, UserChanged { user_id: user.user_id.clone(), user }))
}

/// Parses a body as each of these routes would, for fuzzing.
pub(crate) fn read_bodies(bytes: &[u8]) -> [Result<(), ApiError>; 2] {
    let created = parse::<CreateUser>(bytes).and_then(|body| {
        body.external_id.as_deref().map(login_name).transpose()?;
        Ok(())
    });
    let updated = parse::<UpdateUser>(bytes).and_then(|body| {
        body.external_id.as_deref().map(login_name).transpose()?;
        refuse(body.email, "email", "")
    });
    [created, updated]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_not_an_external_id() {
        assert!(login_name("alice").is_ok() && login_name("user-alice").is_ok());
        assert!(login_name(&format!("user-{}", "a".repeat(26))).is_err());
        assert!(login_name("alice@corp").is_err());
        assert!(login_name("a.b").is_ok() && login_name("...").is_ok());
        assert!(login_name(".").is_err() && login_name("..").is_err());
        // A zero-width space, and a combining accent.
        assert!(login_name("alice||E2||80||8B").is_err() && login_name("jose||CC||81").is_err());
    }
}
