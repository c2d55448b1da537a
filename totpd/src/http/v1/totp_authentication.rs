//! `/v1/totps/authenticate` and `/v1/totps/recover`: verify a code, and begin or strengthen a
//! session.

use crate::engine::api::{ApiRefusal, Authenticated, CommitGuard, IssuedSession, SessionOptions};
use crate::http::v1::auth::Context;
use crate::http::v1::body::{Answer, ApiResult, Body, parse, required};
use crate::http::v1::error::ApiError;
use crate::http::v1::session_args::body_with_session_args;
use crate::http::v1::session_view::Session;
use crate::http::v1::user_view::User;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use totp_core::Typed;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

/// How long a request may wait until its code is judged.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(20);

/// The routes.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new().routes(routes!(authenticate)).routes(routes!(recover))
}

body_with_session_args! {
    #[derive(Debug, Default, Deserialize, ToSchema)]
    struct AuthenticateTotp {
        /// The user's id or external id.
        #[schema(value_type = String)]
        user_id: Option<String>,
        /// The code that the authenticator app shows.
        #[schema(value_type = String)]
        totp_code: Option<Zeroizing<String>>,
    }
}

body_with_session_args! {
    #[derive(Debug, Default, Deserialize, ToSchema)]
    struct RecoverTotp {
        /// The user's id or external id.
        #[schema(value_type = String)]
        user_id: Option<String>,
        /// A recovery code, which this uses up.
        #[schema(value_type = String)]
        recovery_code: Option<Zeroizing<String>>,
    }
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

/// Verifies a code of the previous, this or the next time step. Each code is accepted once.
#[utoipa::path(post, path = "/v1/totps/authenticate", operation_id = "totps_authenticate", tag = "totps", request_body = AuthenticateTotp,
    responses((status = 200, body = Answer<TotpAuthenticated>)))]
async fn authenticate(
    context: Context,
    Body(mut fields): Body<AuthenticateTotp>,
) -> ApiResult<TotpAuthenticated> {
    let user = required(fields.user_id.take(), "user_id")?;
    let code = required(fields.totp_code.take(), "totp_code")?;
    let options = fields.session_args().check_optional()?;
    let typed = match Typed::parse(&code) {
        Ok(Typed::Recovery(_)) => {
            let message = "totp_code is a recovery code; use totps.recover for it. It was not used up.";
            return Err(ApiError::invalid("recovery_code_used_as_totp_code", message));
        }
        Ok(code) => code,
        Err(_) => {
            let digits = context.engine.code_digits(&context.caller, &user).await?;
            return Err(ApiRefusal::InvalidCode(digits).into());
        }
    };
    judge(context, user, typed, options).await
}

/// Verifies a recovery code, and uses it up.
#[utoipa::path(post, path = "/v1/totps/recover", operation_id = "totps_recover", tag = "totps", request_body = RecoverTotp,
    responses((status = 200, body = Answer<TotpAuthenticated>)))]
async fn recover(context: Context, Body(mut fields): Body<RecoverTotp>) -> ApiResult<TotpAuthenticated> {
    let user = required(fields.user_id.take(), "user_id")?;
    let code = required(fields.recovery_code.take(), "recovery_code")?;
    let options = fields.session_args().check_optional()?;
    let typed = match Typed::parse(&code) {
        Ok(Typed::Code(_)) => {
            let message = "recovery_code is a code of an authenticator app; use totps.authenticate for it.";
            return Err(ApiError::invalid("totp_code_used_as_recovery_code", message));
        }
        Ok(code) => code,
        Err(_) => {
            let message = "recovery_code format is invalid: it has four groups of four letters and digits.";
            return Err(ApiError::invalid("invalid_recovery_code", message));
        }
    };
    judge(context, user, typed, options).await
}

/// Tells the task that judges a code that its request was cancelled.
struct CancelOnDrop {
    guard: Arc<CommitGuard>,
    is_cancelled: Arc<AtomicBool>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.is_cancelled.store(true, Ordering::SeqCst);
        // Judges nothing, unless the commit has begun.
        self.guard.cancel();
    }
}

/// Judges a code in a task of its own. If the client hangs up, the code is either not judged at
/// all, or its outcome is committed and audited as undelivered.
async fn judge(
    context: Context,
    user: String,
    typed: Typed,
    options: SessionOptions,
) -> ApiResult<TotpAuthenticated> {
    let guard = Arc::new(CommitGuard::new(Instant::now() + COMMIT_TIMEOUT));
    let is_cancelled = Arc::new(AtomicBool::new(false));
    let cancel = CancelOnDrop { guard: Arc::clone(&guard), is_cancelled: Arc::clone(&is_cancelled) };
    let Context { engine, caller, .. } = context.clone();
    let task = tokio::spawn(async move {
        let outcome = engine.authenticate(&caller, &user, typed, &options, &guard).await;
        if let Ok(Authenticated { event, .. }) = &outcome
            && is_cancelled.load(Ordering::SeqCst)
        {
            engine.undelivered(event, None).await;
        }
        outcome
    });
    let outcome = task.await.map_err(|_| ApiError::internal())?;
    drop(cancel);
    let Authenticated { totp_id, user, session, .. } = outcome?;
    let user = User::from(user);
    let (session_token, session_jwt, session) = match session {
        None => (Zeroizing::default(), Zeroizing::default(), None),
        Some(IssuedSession { session, token, jwt }) => (token, jwt, Some(Session::from(&session))),
    };
    let user_id = user.user_id.clone();
    let body = TotpAuthenticated { user_id, totp_id, user, session_token, session_jwt, session };
    Ok(Answer::new(&context.caller.request_id, body))
}

/// Parses a body as each of these routes would, for fuzzing.
pub(crate) fn read_bodies(bytes: &[u8]) -> [Result<(), ApiError>; 2] {
    let authenticated = parse::<AuthenticateTotp>(bytes).and_then(|mut body| {
        // Either result is fine: only a panic would be a fault.
        let _ = body.totp_code.take().map(|code| Typed::parse(&code));
        body.session_args().check_optional().map(drop)
    });
    let recovered =
        parse::<RecoverTotp>(bytes).and_then(|mut body| body.session_args().check_optional().map(drop));
    [authenticated, recovered]
}
