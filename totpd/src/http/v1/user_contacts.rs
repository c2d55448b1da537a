//! The routes under `/v1/users` for mail addresses and phone numbers: removes and exchanges them.

use crate::engine::api::{ContactKind, NewContact, Scope};
use crate::http::v1::auth::Context;
use crate::http::v1::body::{Answer, ApiResult, Body, parse};
use crate::http::v1::contact_fields::{email, phone_number};
use crate::http::v1::error::ApiError;
use crate::http::v1::user_view::User;
use crate::http::v1::users::{UserChanged, delete_external_id, named};
use axum::extract::Path;
use axum::routing::{delete, put};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// External ids that are also a segment of a route, in whose place the router would see that
/// segment.
const SEGMENTS: [&str; 3] = ["emails", "phone_numbers", "totps"];

/// The routes.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    let routes = OpenApiRouter::new()
        .routes(routes!(delete_email))
        .routes(routes!(delete_phone_number))
        .routes(routes!(exchange_primary_factor));
    SEGMENTS.into_iter().fold(routes, |routes, name| {
        routes
            .route(
                &format!("/v1/users/{name}/external_id"),
                delete(move |context| delete_external_id(context, named(name))),
            )
            .route(
                &format!("/v1/users/{name}/exchange_primary_factor"),
                put(move |context, body| exchange_primary_factor(context, named(name), body)),
            )
    })
}

/// The new address. Exactly one of the two is needed.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct ExchangePrimaryFactor {
    /// `name@domain` in ASCII.
    #[schema(format = Email)]
    email_address: Option<String>,
    /// E.164, such as +12025550123.
    #[schema(pattern = r"^(\+[1-9][0-9]{6,14})?$")]
    phone_number: Option<String>,
}

impl ExchangePrimaryFactor {
    fn check(self) -> Result<NewContact, ApiError> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        match (given(self.email_address), given(self.phone_number)) {
            (Some(address), None) => email(&address).map(NewContact::Email),
            (None, Some(number)) => phone_number(&number).map(NewContact::Phone),
            _ => {
                let message = "Exactly one of email_address and phone_number is needed.";
                Err(ApiError::invalid("invalid_exchange_primary_factor_fields", message))
            }
        }
    }
}

/// Removes a user's email.
#[utoipa::path(delete, path = "/v1/users/emails/{email_id}", operation_id = "users_delete_email", tag = "users", params(("email_id" = String, Path)),
    responses((status = 200, body = Answer<UserChanged>)))]
async fn delete_email(context: Context, Path(id): Path<String>) -> ApiResult<UserChanged> {
    remove(&context, ContactKind::Email, &id).await
}

/// Removes a user's phone number.
#[utoipa::path(delete, path = "/v1/users/phone_numbers/{phone_id}", operation_id = "users_delete_phone_number", tag = "users", params(("phone_id" = String, Path)),
    responses((status = 200, body = Answer<UserChanged>)))]
async fn delete_phone_number(context: Context, Path(id): Path<String>) -> ApiResult<UserChanged> {
    remove(&context, ContactKind::Phone, &id).await
}

async fn remove(context: &Context, kind: ContactKind, id: &str) -> ApiResult<UserChanged> {
    context.require(Scope::Admin)?;
    let Context { engine, caller, .. } = context;
    let user = User::from(engine.remove_contact(caller, kind, id).await?);
    Ok(Answer::new(&caller.request_id, UserChanged { user_id: user.user_id.clone(), user }))
}

/// Replaces the only email or phone number of a user by another one of either kind.
#[utoipa::path(put, path = "/v1/users/{user_id}/exchange_primary_factor", operation_id = "users_exchange_primary_factor", tag = "users",
    params(("user_id" = String, Path)), request_body = ExchangePrimaryFactor, responses((status = 200, body = Answer<UserChanged>)))]
async fn exchange_primary_factor(
    context: Context,
    Path(user): Path<String>,
    Body(fields): Body<ExchangePrimaryFactor>,
) -> ApiResult<UserChanged> {
    context.require(Scope::Admin)?;
    let new = fields.check()?;
    let Context { engine, caller, .. } = &context;
    let user = User::from(engine.exchange_contact(caller, &user, new).await?);
    Ok(Answer::new(&caller.request_id, UserChanged { user_id: user.user_id.clone(), user }))
}

/// Parses a body as this route would, for fuzzing.
pub(crate) fn read_bodies(bytes: &[u8]) -> [Result<(), ApiError>; 1] {
    [parse::<ExchangePrimaryFactor>(bytes).and_then(|body| body.check().map(drop))]
}
