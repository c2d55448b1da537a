//! `/errors`: what each error means. The `error_url` of an error leads there.

use crate::http::v1::error::ApiError;
use crate::http::v1::error_types::{ERROR_TYPES, ErrorType};
use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

/// The pages, which need no credentials: plain text, made of constants.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/errors", get(list)).route("/errors/{name}", get(one))
}

fn page(text: String) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "max-age=3600"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text)
}

async fn list() -> impl IntoResponse {
    let lines =
        ERROR_TYPES.iter().map(|ErrorType { name, status, when }| format!("{name} ({status}): {when}\n"));
    page(lines.collect())
}

async fn one(Path(name): Path<String>) -> Result<impl IntoResponse, ApiError> {
    let found = ERROR_TYPES.iter().find(|error| error.name == name);
    let ErrorType { name, status, when } = found.ok_or_else(|| {
        let message = "This server has no such error. /errors lists those that it has.";
        ApiError::new(StatusCode::NOT_FOUND, "route_not_found", message)
    })?;
    Ok(page(format!("{name}\n\nStatus: {status}\nWhen: {when}\n\nAll errors: /errors\n")))
}
