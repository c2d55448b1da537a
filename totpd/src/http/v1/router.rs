//! Every route, its layers, and the document that describes them, which is made from the routes.

use crate::http::v1::auth;
use crate::http::v1::auth::Server;
use crate::http::v1::error::{ApiError, ErrorAnswer};
use crate::http::v1::{sessions, totps, users};
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
struct Described;

/// The statuses that any request may be answered with, beside those of its own.
const ERRORS: [(u16, &str); 9] = [
    (400, "An argument is wrong; nothing was changed"),
    (401, "The credentials or the code were refused"),
    (403, "The credentials have not the scope"),
    (404, "There is no such thing"),
    (408, "The body did not arrive in time"),
    (413, "The body is too large"),
    (429, "The user is locked, or the client asks too often"),
    (500, "The server failed"),
    (503, "The server cannot answer at the moment; nothing was changed"),
];

/// Operations that need no field, and so no body.
const BODILESS: [&str; 2] = ["users_search", "users_update"];

/// The service of every connection.
pub(crate) fn router(server: Server) -> Router {
    let (_, mut document) = described().split_for_parts();
    complete(&mut document);
    // Text and numbers: this cannot fail. Shared: however many ask for it, it is there once.
    let text = Bytes::from(document.to_json().unwrap_or_default());
    let closed = closed_routes().layer(middleware::from_fn_with_state(server.clone(), auth::auth_layer));
    let json = [(header::CONTENT_TYPE, "application/json")];
    Router::new()
        .merge(closed.split_for_parts().0)
        .merge(sessions::open_routes().split_for_parts().0)
        .route("/openapi.json", axum::routing::get(move || async move { (json, text) }))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .with_state(server)
        .layer(middleware::from_fn(auth::request_id_layer))
}

/// The routes that take credentials.
fn closed_routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().merge(users::routes()).merge(totps::routes()).merge(sessions::routes())
}

fn described() -> OpenApiRouter<Server> {
    OpenApiRouter::with_openapi(Described::openapi()).merge(closed_routes()).merge(sessions::open_routes())
}

/// What the routes do not say: the credentials, and the errors that any of them may answer with.
fn complete(document: &mut Document) {
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
        operations.into_iter().flatten().for_each(complete_operation);
    }
}

fn complete_operation(operation: &mut Operation) {
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
        "There is no such route; the API is under /v1/."
    };
    ApiError::new(StatusCode::NOT_FOUND, "route_not_found", message)
}

async fn no_method() -> impl IntoResponse {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This route has not this method.")
}
