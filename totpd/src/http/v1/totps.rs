//! `/v1/totps`: making enrollments, and proving them.

use crate::engine::api::session_view::Session;
use crate::engine::api::{ApiRefusal, Authenticated, IssuedSession, Scope, SessionOptions};
use crate::http::v1::auth::Context;
use crate::http::v1::body::{Answer, Body, fields, required};
use crate::http::v1::error::ApiError;
use crate::http::v1::user_view::User;
use crate::http::v1::users::user_id;
use crate::qr;
use crate::store::CommitGuard;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use totp_core::Typed;
use totp_core::session::Minutes;
use totp_core::time::MINUTE;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

/// Minutes that an enrollment waits for its first code: unless told otherwise, at least, and at most.
const WAITS: i64 = 1440;
const WAITS_AT_LEAST: i64 = 5;
/// How long a code may wait to be judged.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(20);

type Answered<T> = Result<Answer<T>, ApiError>;

/// The routes.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(authenticate))
        .routes(routes!(recover))
        .routes(routes!(recovery_codes))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
struct CreateTotp {
    /// The user's id or external id.
    #[schema(value_type = String)]
    user_id: Option<String>,
    /// Minutes until it is gone unless authenticated: 5 to 1440, else 1440.
    #[schema(minimum = 5, maximum = 1440)]
    expiration_minutes: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
struct TotpCreated {
    totp_id: String,
    /// Base32 without padding.
    #[schema(value_type = String)]
    secret: Zeroizing<String>,
    /// A PNG as a data URI.
    qr_code: String,
    #[schema(value_type = Vec<String>)]
    recovery_codes: Vec<Zeroizing<String>>,
    user_id: String,
    user: User,
}

/// What a grant is to come with.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct AuthenticateTotp {
    /// The user's id or external id.
    #[schema(value_type = String)]
    user_id: Option<String>,
    /// The code of the phone.
    #[schema(value_type = String)]
    totp_code: Option<Zeroizing<String>>,
    /// A session of this many minutes, 5 to 527040; without it there is none.
    #[schema(minimum = 5, maximum = 527_040)]
    session_duration_minutes: Option<i64>,
    /// Add the factor to this session.
    #[schema(value_type = Option<String>)]
    session_token: Option<Zeroizing<String>>,
    /// Add the factor to the session of this token.
    #[schema(value_type = Option<String>)]
    session_jwt: Option<Zeroizing<String>>,
    /// Merged into the session's claims: null takes one away; 4 kB together.
    #[schema(value_type = Option<Object>)]
    session_custom_claims: Option<Map<String, Value>>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
struct RecoverTotp {
    /// The user's id or external id.
    #[schema(value_type = String)]
    user_id: Option<String>,
    /// A recovery code. It is used up.
    #[schema(value_type = String)]
    recovery_code: Option<Zeroizing<String>>,
    /// As for `/v1/totps/authenticate`.
    #[schema(minimum = 5, maximum = 527_040)]
    session_duration_minutes: Option<i64>,
    #[schema(value_type = Option<String>)]
    session_token: Option<Zeroizing<String>>,
    #[schema(value_type = Option<String>)]
    session_jwt: Option<Zeroizing<String>>,
    #[schema(value_type = Option<Object>)]
    session_custom_claims: Option<Map<String, Value>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct TotpAuthenticated {
    user_id: String,
    totp_id: String,
    user: User,
    /// Empty without a session.
    #[schema(value_type = String)]
    session_token: Zeroizing<String>,
    /// Empty without a session.
    #[schema(value_type = String)]
    session_jwt: Zeroizing<String>,
    session: Option<Session>,
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
    /// Those that are not used.
    #[schema(value_type = Vec<String>)]
    recovery_codes: Vec<Zeroizing<String>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct RecoveryCodesShown {
    user_id: String,
    totps: Vec<CodesOfTotp>,
}

/// Stages a TOTP: secret, QR code and recovery codes are shown here and nowhere else. One that was not authenticated
/// yet is replaced.
#[utoipa::path(post, path = "/v1/totps", operation_id = "totps_create", request_body = CreateTotp, responses((status = 200, body = Answer<TotpCreated>)))]
async fn create(context: Context, Body(fields): Body<CreateTotp>) -> Answered<TotpCreated> {
    context.may(Scope::Enroll)?;
    let user = user_id(fields.user_id)?;
    let minutes = fields.expiration_minutes.unwrap_or(WAITS);
    let lifetime = u64::try_from(minutes).ok().filter(|_| (WAITS_AT_LEAST..=WAITS).contains(&minutes));
    let lifetime = lifetime.ok_or_else(|| {
        let message = format!("expiration_minutes is {WAITS_AT_LEAST} to {WAITS}.");
        ApiError::invalid("invalid_expiration", message)
    })?;
    let Context { engine, caller, .. } = &context;
    let made = engine.create_totp(caller, &user, lifetime * MINUTE).await?;
    let uri = made.enrolled.otpauth.to_uri();
    let qr_code = qr::png_data_uri(&uri).map_err(|_| ApiError::unavailable())?;
    let user = User::of(engine, caller, made.user);
    let body = TotpCreated {
        totp_id: made.enrolled.totp_id,
        secret: made.enrolled.otpauth.secret.to_base32(),
        qr_code,
        recovery_codes: made
            .enrolled
            .recovery_codes
            .iter()
            .map(totp_core::recovery::RecoveryCode::reveal)
            .collect(),
        user_id: user.user_id.clone(),
        user,
    };
    Ok(Answer::new(&caller.request_id, body))
}

/// Verifies a code of the phone, once: of this time step, the one before or the one after.
#[utoipa::path(post, path = "/v1/totps/authenticate", operation_id = "totps_authenticate", request_body = AuthenticateTotp,
    responses((status = 200, body = Answer<TotpAuthenticated>)))]
async fn authenticate(context: Context, Body(fields): Body<AuthenticateTotp>) -> Answered<TotpAuthenticated> {
    let user = user_id(fields.user_id)?;
    let typed = match Typed::parse(&required(fields.totp_code, "totp_code")?) {
        Ok(Typed::Recovery(_)) => {
            let message = "totp_code is a recovery code; use totps.recover for it. It was not used up.";
            return Err(ApiError::invalid("recovery_code_used_as_totp_code", message));
        }
        Ok(code) => code,
        Err(_) => return Err(ApiRefusal::InvalidCode.into()),
    };
    let wanted = wanted(
        fields.session_duration_minutes,
        fields.session_token,
        fields.session_jwt,
        fields.session_custom_claims,
    )?;
    judged(context, user, typed, wanted).await
}

/// Verifies a recovery code, and uses it up.
#[utoipa::path(post, path = "/v1/totps/recover", operation_id = "totps_recover", request_body = RecoverTotp,
    responses((status = 200, body = Answer<TotpAuthenticated>)))]
async fn recover(context: Context, Body(fields): Body<RecoverTotp>) -> Answered<TotpAuthenticated> {
    let user = user_id(fields.user_id)?;
    let typed = match Typed::parse(&required(fields.recovery_code, "recovery_code")?) {
        Ok(Typed::Code(_)) => {
            let message = "recovery_code is a code of the phone; use totps.authenticate for it.";
            return Err(ApiError::invalid("totp_code_used_as_recovery_code", message));
        }
        Ok(code) => code,
        Err(_) => {
            let message = "recovery_code is none: it has four groups of four letters and digits.";
            return Err(ApiError::invalid("invalid_recovery_code", message));
        }
    };
    let wanted = wanted(
        fields.session_duration_minutes,
        fields.session_token,
        fields.session_jwt,
        fields.session_custom_claims,
    )?;
    judged(context, user, typed, wanted).await
}

/// Shows the recovery codes that are not used, where the server keeps them readable.
#[utoipa::path(post, path = "/v1/totps/recovery_codes", operation_id = "totps_recovery_codes", request_body = RecoveryCodes,
    responses((status = 200, body = Answer<RecoveryCodesShown>)))]
async fn recovery_codes(context: Context, Body(fields): Body<RecoveryCodes>) -> Answered<RecoveryCodesShown> {
    context.may(Scope::Admin)?;
    let user = user_id(fields.user_id)?;
    let Context { engine, caller, .. } = &context;
    let (user_id, shown) = engine.show_recovery_codes(caller, &user).await?;
    let totps = shown.into_iter().map(|of| CodesOfTotp {
        totp_id: of.totp_id,
        verified: of.verified,
        recovery_codes: of.codes.iter().map(totp_core::recovery::RecoveryCode::reveal).collect(),
    });
    Ok(Answer::new(&caller.request_id, RecoveryCodesShown { user_id, totps: totps.collect() }))
}

/// Reads a body as those of these routes, for fuzzing.
pub(crate) fn read_bodies(bytes: &[u8]) -> [Result<(), ApiError>; 4] {
    let code = fields::<AuthenticateTotp>(bytes).and_then(|body| {
        let _ = body.totp_code.as_deref().map(|text| Typed::parse(text));
        let AuthenticateTotp { session_duration_minutes: minutes, session_token, session_jwt, .. } = body;
        wanted(minutes, session_token, session_jwt, body.session_custom_claims).map(drop)
    });
    [
        code,
        fields::<RecoverTotp>(bytes).map(drop),
        fields::<CreateTotp>(bytes).map(drop),
        fields::<RecoveryCodes>(bytes).map(drop),
    ]
}

/// What a grant is to come with, or which argument is wrong.
fn wanted(
    minutes: Option<i64>,
    token: Option<Zeroizing<String>>,
    jwt: Option<Zeroizing<String>>,
    claims: Option<Map<String, Value>>,
) -> Result<SessionOptions, ApiError> {
    let length = minutes.map(length).transpose()?;
    let session = crate::http::v1::sessions::one_of(token, jwt, None, "too_many_session_arguments")?;
    Ok(SessionOptions { length, session, claims: claims.unwrap_or_default() })
}

/// The length of a session.
pub(crate) fn length(minutes: i64) -> Result<Minutes, ApiError> {
    Minutes::new(minutes).ok_or_else(|| {
        let message = "session_duration_minutes is invalid, should be between 5 to 527040 minutes.";
        ApiError::invalid("invalid_session_duration_minutes", message)
    })
}

/// Tells, when the request is given up, whoever works on it.
struct Waiting {
    ticket: Arc<CommitGuard>,
    gone: Arc<AtomicBool>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
        // What has not begun to commit is dropped unjudged.
        self.ticket.cancel();
    }
}

/// Judges on a task of its own: when the client hangs up the work either is taken back whole, or is done whole and
/// what nobody received is recorded.
async fn judged(
    context: Context,
    user: String,
    typed: Typed,
    wanted: SessionOptions,
) -> Answered<TotpAuthenticated> {
    let ticket = Arc::new(CommitGuard::new(Instant::now() + COMMIT_TIMEOUT));
    let gone = Arc::new(AtomicBool::new(false));
    let waiting = Waiting { ticket: Arc::clone(&ticket), gone: Arc::clone(&gone) };
    let Context { engine, caller, .. } = context.clone();
    let work = tokio::spawn(async move {
        let done = engine.authenticate(&caller, &user, typed, &wanted, &ticket).await;
        if let Ok(Authenticated { event, .. }) = &done
            && gone.load(Ordering::SeqCst)
        {
            engine.undelivered(event).await;
        }
        done
    });
    let done = work.await.map_err(|_| ApiError::unavailable())?;
    drop(waiting);
    let Authenticated { totp_id, user, session, .. } = done?;
    let Context { engine, caller, .. } = &context;
    let user = User::of(engine, caller, user);
    let (session_token, session_jwt, session) = match session {
        None => (Zeroizing::default(), Zeroizing::default(), None),
        Some(IssuedSession { session, token, jwt }) => (token, jwt, Some(Session::from(&session))),
    };
    let user_id = user.user_id.clone();
    let body = TotpAuthenticated { user_id, totp_id, user, session_token, session_jwt, session };
    Ok(Answer::new(&caller.request_id, body))
}
