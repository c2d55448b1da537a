//! `/healthz` and `/readyz`, for monitors and load balancers, which have no credentials. They tell
//! strangers whether the server answers, and nothing else: the reasons are in the log and in
//! `totpd status`.

use crate::http::v1::auth::Server;
use crate::http::v1::body::{Answer, ApiResult};
use crate::http::v1::error::ApiError;
use crate::http::v1::request_id::RequestId;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes.
pub(crate) fn public_routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// A server that answers.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    status: HealthStatus,
}

/// The state of the server.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum HealthStatus {
    /// It answers.
    Ok,
}

/// Says that the API answers. It says nothing about the store.
#[utoipa::path(get, path = "/healthz", operation_id = "healthz", tag = "health", responses((status = 200, body = Answer<Health>)), security(()))]
async fn healthz(RequestId(request_id): RequestId) -> Answer<Health> {
    Answer::new(&request_id, Health { status: HealthStatus::Ok })
}

/// Says whether codes can be verified now: the store can be read, and its key opens it.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "health", responses((status = 200, body = Answer<Health>)), security(()))]
async fn readyz(State(server): State<Server>, RequestId(request_id): RequestId) -> ApiResult<Health> {
    if server.is_ready().await {
        Ok(Answer::new(&request_id, Health { status: HealthStatus::Ok }))
    } else {
        Err(ApiError::unavailable())
    }
}
