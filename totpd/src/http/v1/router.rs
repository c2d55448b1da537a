//! The routes with their layers, and the OpenAPI document, which is made from the routes.

use crate::http::v1::auth::{Server, auth_layer};
use crate::http::v1::error::{ApiError, ErrorAnswer};
use crate::http::v1::request_id::request_id_layer;
use crate::http::v1::{sessions, totp_authentication, totps, users};
use axum::body::Bytes;
use axum::http::{StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::{Router, middleware};
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Document, Ref, RefOr, Required};
use utoipa::{OpenApi, PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

#[derive(OpenApi)]
#[openapi(info(
    title = "totpd",
    description = "Users, TOTPs and sessions, in the shape of Stytch's Consumer API. \
    docs/reference/api.md explains it."
))]
struct ApiDocument;

/// The error statuses that any operation may respond with.
const ERRORS: [(u16, &str); 9] = [
    (400, "An argument is wrong; nothing was changed"),
    (401, "The credentials or the code were refused"),
    (403, "The credentials lack the scope"),
    (404, "No such route or resource"),
    (408, "The body did not arrive in time"),
    (413, "The body is too large"),
    (429, "The user is locked, or the client makes too many requests"),
    (500, "The server failed"),
    (503, "The server cannot process the request now; nothing was changed"),
];

/// Operations without a required field, whose body may be left out.
const BODILESS: [&str; 2] = ["users_search", "users_update"];

/// The application that serves every connection.
pub(crate) fn router(server: Server) -> Router {
    // Shared by all responses.
    let document = document().to_json().map(Bytes::from).map_err(|error| {
        tracing::error!("the HTTP API cannot write /openapi.json: {error}");
        ApiError::unavailable()
    });
    let document = document.map(|text| ([(header::CONTENT_TYPE, "application/json")], text));
    let authenticated =
        authenticated_routes().layer(middleware::from_fn_with_state(server.clone(), auth_layer));
    Router::new()
        .merge(authenticated.split_for_parts().0)
        .merge(sessions::public_routes().split_for_parts().0)
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
        .merge(totps::routes())
        .merge(totp_authentication::routes())
        .merge(sessions::routes())
}

/// The OpenAPI document: what the routes say of themselves, the credentials, and the errors of any
/// operation.
fn document() -> Document {
    let routes = OpenApiRouter::with_openapi(ApiDocument::openapi());
    let routes = routes.merge(authenticated_routes()).merge(sessions::public_routes());
    let (_, mut document) = routes.split_for_parts();
    let components = document.components.get_or_insert_default();
    let basic = HttpBuilder::new()
        .scheme(HttpAuthScheme::Basic)
        .description(Some("project_id and secret of `totpd client add`"))
        .build();
    components.add_security_scheme("credentials", SecurityScheme::Http(basic));
    components.schemas.insert(ErrorAnswer::name().into_owned(), ErrorAnswer::schema());
    document.security = Some(vec![SecurityRequirement::new("credentials", Vec::<String>::new())]);
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.put, &mut path.post, &mut path.delete];
        operations.into_iter().flatten().for_each(complete);
    }
    document
}

/// Adds the errors to an operation.
fn complete(operation: &mut Operation) {
    if operation.operation_id.as_deref().is_some_and(|id| BODILESS.contains(&id))
        && let Some(RefOr::T(body)) = &mut operation.request_body
    {
        body.required = Some(Required::False);
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            "Done".clone_into(&mut response.description);
        }
    }
    for (status, description) in ERRORS {
        let schema = Ref::from_schema_name(ErrorAnswer::name());
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/json", Content::new(Some(RefOr::Ref(schema))))
            .build();
        operation.responses.responses.entry(status.to_string()).or_insert(RefOr::T(response));
    }
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
