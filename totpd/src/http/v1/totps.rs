//! `/v1/totps`: creates TOTPs, and shows their recovery codes.

use crate::engine::api::Scope;
use crate::http::v1::auth::Context;
use crate::http::v1::body::{Answer, ApiResult, Body, parse, required};
use crate::http::v1::error::ApiError;
use crate::http::v1::user_view::User;
use crate::qr;
use serde::{Deserialize, Serialize};
use totp_core::recovery::RecoveryCode;
use totp_core::time::MINUTE;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

/// Minutes until a TOTP that is not authenticated expires: the default, which is also the most, and
/// the least.
const MAX_EXPIRATION: i64 = 1440;
const MIN_EXPIRATION: i64 = 5;

/// The routes.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new().routes(routes!(create)).routes(routes!(recovery_codes))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
struct CreateTotp {
    /// The user's id or external id.
    #[schema(value_type = String)]
    user_id: Option<String>,
    /// Minutes until the TOTP expires unless it is authenticated: 5 to 1440, 1440 by default.
    #[schema(minimum = 5, maximum = 1440)]
    expiration_minutes: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
struct TotpCreated {
    totp_id: String,
    /// Base32 without padding.
    #[schema(value_type = String, pattern = "^[A-Z2-7]+$")]
    secret: Zeroizing<String>,
    /// A PNG as a data URI.
    #[schema(format = "uri")]
    qr_code: String,
    #[schema(value_type = Vec<String>)]
    recovery_codes: Vec<Zeroizing<String>>,
    user_id: String,
    user: User,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
struct RecoveryCodes {
    /// The user's id or external id.
    #[schema(value_type = String)]
    user_id: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct CodesOfTotp {
    totp_id: String,
    verified: bool,
    /// The unused recovery codes.
    #[schema(value_type = Vec<String>)]
    recovery_codes: Vec<Zeroizing<String>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct RecoveryCodesShown {
    user_id: String,
    totps: Vec<CodesOfTotp>,
}

/// Creates a TOTP. Only this response shows the secret, the QR code and the recovery codes. It
/// replaces a TOTP that was not authenticated yet.
#[utoipa::path(post, path = "/v1/totps", operation_id = "totps_create", tag = "totps", request_body = CreateTotp, responses((status = 200, body = Answer<TotpCreated>)))]
async fn create(context: Context, Body(fields): Body<CreateTotp>) -> ApiResult<TotpCreated> {
    context.require(Scope::Enroll)?;
    let user = required(fields.user_id, "user_id")?;
    let minutes = fields.expiration_minutes.unwrap_or(MAX_EXPIRATION);
    let allowed = MIN_EXPIRATION..=MAX_EXPIRATION;
    let minutes = u64::try_from(minutes).ok().filter(|_| allowed.contains(&minutes));
    let minutes = minutes.ok_or_else(|| {
        let message = format!("expiration_minutes is {MIN_EXPIRATION} to {MAX_EXPIRATION}.");
        ApiError::invalid("invalid_expiration", message)
    })?;
    let Context { engine, caller, .. } = &context;
    let created = engine.create_totp(caller, &user, minutes * MINUTE).await?;
    let otpauth = &created.enrolled.otpauth;
    let qr_code = qr::png_data_uri(&otpauth.to_uri()).map_err(|_| ApiError::unavailable())?;
    let secret = otpauth.secret.to_base32();
    let recovery_codes = created.enrolled.recovery_codes.iter().map(RecoveryCode::reveal).collect();
    let user = User::from(created.user);
    let body = TotpCreated {
        totp_id: created.enrolled.totp_id,
        secret,
        qr_code,
        recovery_codes,
        user_id: user.user_id.clone(),
        user,
    };
    Ok(Answer::new(&caller.request_id, body))
}

/// Shows the unused recovery codes, if the server stores them encrypted and not as hashes.
#[utoipa::path(post, path = "/v1/totps/recovery_codes", operation_id = "totps_recovery_codes", tag = "totps", request_body = RecoveryCodes,
    responses((status = 200, body = Answer<RecoveryCodesShown>)))]
async fn recovery_codes(
    context: Context,
    Body(fields): Body<RecoveryCodes>,
) -> ApiResult<RecoveryCodesShown> {
    context.require(Scope::Admin)?;
    let user = required(fields.user_id, "user_id")?;
    let Context { engine, caller, .. } = &context;
    let (user_id, shown) = engine.show_recovery_codes(caller, &user).await?;
    let totps = shown.into_iter().map(|totp| CodesOfTotp {
        totp_id: totp.totp_id,
        verified: totp.verified,
        recovery_codes: totp.codes.iter().map(RecoveryCode::reveal).collect(),
    });
    Ok(Answer::new(&caller.request_id, RecoveryCodesShown { user_id, totps: totps.collect() }))
}

/// Parses a body as each of these routes would, for fuzzing.
pub(crate) fn read_bodies(bytes: &[u8]) -> [Result<(), ApiError>; 2] {
    [parse::<CreateTotp>(bytes).map(drop), parse::<RecoveryCodes>(bytes).map(drop)]
}
