//! The routes with their layers.

use crate::http::v1::auth::{Server, auth_layer};
use crate::http::v1::error::ApiError;
use crate::http::v1::request_id::request_id_layer;
use crate::http::v1::{
    error_pages, health, openapi, sessions, totp_authentication, totps, user_contacts, users,
};
use axum::body::Bytes;
use axum::http::{StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::{Router, middleware};
use utoipa_axum::router::OpenApiRouter;

/// The application that serves every connection.
pub(crate) fn router(server: Server) -> Router {
    // Shared by all responses.
    let document =
        openapi::text(authenticated_routes().merge(public_routes())).map(Bytes::from).map_err(|error| {
            tracing::error!("the HTTP API cannot write /openapi.json: {error}");
            ApiError::unavailable()
        });
    let document = document.map(|text| ([(header::CONTENT_TYPE, "application/json")], text));
    let authenticated =
        authenticated_routes().layer(middleware::from_fn_with_state(server.clone(), auth_layer));
    Router::new()
        .merge(authenticated.split_for_parts().0)
        .merge(public_routes().split_for_parts().0)
        .merge(error_pages::routes())
        .route("/openapi.json", axum::routing::get(move || async move { document }))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .with_state(server)
        .layer(middleware::from_fn(request_id_layer))
}

/// The routes that need credentials.
fn authenticated_routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .merge(users::routes())
        .merge(user_contacts::routes())
        .merge(totps::routes())
        .merge(totp_authentication::routes())
        .merge(sessions::routes())
}

/// The routes that need none.
fn public_routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().merge(sessions::public_routes()).merge(health::public_routes())
}

async fn no_route(uri: Uri) -> impl IntoResponse {
    let message = if uri.path().starts_with("/v1/") {
        "This server has users, TOTPs and sessions, and no such route."
    } else {
        "There is no such route. The API is under /v1/."
    };
    ApiError::new(StatusCode::NOT_FOUND, "route_not_found", message)
}

async fn no_method() -> impl IntoResponse {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This route does not support this method.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn text() -> String {
        openapi::text(authenticated_routes().merge(public_routes())).unwrap()
    }

    #[test]
    fn the_document_has_no_unused_schema_and_names_its_server() {
        let text = text();
        let document: Value = serde_json::from_str(&text).unwrap();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for name in schemas.keys() {
            assert!(text.contains(&format!("\"#/components/schemas/{name}\"")), "{name} is unused");
            assert!(!name.contains('_'), "{name}");
        }
        assert!(schemas.contains_key("UserResponse") && !schemas.contains_key("UserCreated"), "{text}");
        assert_eq!(document["servers"][0]["url"], "/");
        assert!(!text.contains("allOf") && !text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    }

    #[test]
    fn every_operation_has_one_of_the_tags() {
        let mut document: Value = serde_json::from_str(&text()).unwrap();
        let tags: Vec<Value> =
            document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].clone()).collect();
        for operation in openapi::operations(&mut document) {
            let [tag] = operation["tags"].as_array().unwrap().as_slice() else {
                unreachable!("{operation:?}")
            };
            assert!(tags.contains(tag), "{operation:?}");
        }
    }
}
