//! `/openapi.json`: the API as OpenAPI 3.1, made of what is routed.
//!
//! Each handler says what is its own: path, parameters, bodies, answers. What all calls share is added here, to every operation
//! that there is: the key and its scopes, and what may be refused anywhere.

use axum::{
    Extension,
    body::Bytes,
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::{
    ToSchema,
    openapi::{
        Components, ContentBuilder, Header, InfoBuilder, Object, OpenApi, OpenApiBuilder, Ref, RefOr,
        ResponseBuilder, Type,
        path::{Operation, PathItem},
        schema::ObjectBuilder,
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
        tag::TagBuilder,
    },
};
use wire::Code;

use crate::api_key::Scope;

/// The name of the security scheme.
const API_KEY: &str = "apiKey";

/// The whole document, as it is sent.
#[derive(Clone)]
pub(super) struct Document(Bytes);

/// Why a call was refused (RFC 9457).
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "only its schema")]
pub(super) struct ProblemBody {
    #[schema(example = "about:blank")]
    r#type: String,
    /// The words of the status.
    #[schema(example = "Not Found")]
    title: String,
    #[schema(minimum = 400, maximum = 599, example = 404)]
    status: u16,
    /// Stable, for programs.
    #[schema(schema_with = codes)]
    code: String,
    /// For people: what is wrong and what to do.
    #[schema(example = "group team: there is no such group")]
    detail: String,
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "api", operation_id = "openapi",
    responses((status = 200, description = "The API, as OpenAPI 3.1.", body = Object, content_type = "application/json"))
)]
pub(super) async fn openapi(Extension(Document(json)): Extension<Document>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], json).into_response()
}

impl Document {
    /// # Errors
    /// Where it cannot be written as JSON.
    pub(super) fn new(openapi: &OpenApi) -> Result<Self, serde_json::Error> {
        Ok(Self(serde_json::to_vec(openapi)?.into()))
    }
}

/// The document before any path is in it.
pub(super) fn head() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Phalanx: the business API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "What a back end asks of the cluster. Every stat node gives the same answers. docs/api.md explains each call, with examples.",
        ));
    let key = Http::builder().scheme(HttpAuthScheme::Bearer).description(Some(
        "One of `stat.api_keys`. Each operation names the scopes that the key needs: `read`, `send`, `manage`.",
    ));
    let mut components = Components::new();
    components.add_security_scheme(API_KEY, SecurityScheme::Http(key.build()));
    components
        .schemas
        .insert(ProblemBody::name().into_owned(), <ProblemBody as utoipa::PartialSchema>::schema());
    let tag = |name, description| TagBuilder::new().name(name).description(Some(description)).build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .tags(Some([
            tag("messages", "Sending, and reading what was sent."),
            tag("groups", "Groups and their members."),
            tag("users", "Who is connected, who has to go, who may not come."),
            tag("cluster", "The nodes and their counters."),
            tag("api", "The API itself."),
        ]))
        .build()
}

/// Every operation of these needs a key with this scope, and may be refused.
pub(super) fn guard(openapi: &mut OpenApi, scope: Scope) {
    for operation in openapi.paths.paths.values_mut().flat_map(operations) {
        operation.security = Some(vec![SecurityRequirement::new(API_KEY, [scope.as_str()])]);
        let (has_parameters, has_body) = (operation.parameters.is_some(), operation.request_body.is_some());
        refusal(operation, 401, "No API key, or one that is not known.");
        refusal(operation, 403, "The key does not have the scope, or what is asked for is not allowed.");
        refusal(operation, 500, "A fault of the server's.");
        refusal(
            operation,
            503,
            "Something that this needs does not answer, or too much at once. Perhaps it was done.",
        );
        if has_parameters || has_body {
            refusal(operation, 400, "The form is wrong: `detail` says what.");
        }
        if has_body {
            refusal(operation, 413, "The body is larger than allowed.");
            refusal(operation, 415, "The body did not come as `application/json`.");
        }
    }
}

/// Whatever was said of this status of its own stays.
fn refusal(operation: &mut Operation, status: u16, description: &str) {
    let mut problem = ResponseBuilder::new().description(description).content(
        "application/problem+json",
        ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemBody::name()))).build(),
    );
    if status == 401 {
        let text = ObjectBuilder::new().schema_type(Type::String);
        problem = problem.header("WWW-Authenticate", Header::new(text));
    }
    if status == 503 {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).description(Some("Seconds."));
        problem = problem.header("Retry-After", Header::new(seconds));
    }
    let responses = &mut operation.responses.responses;
    match responses.get_mut(&status.to_string()) {
        None => drop(responses.insert(status.to_string(), RefOr::T(problem.build()))),
        Some(RefOr::T(own)) if own.content.is_empty() => own.content = problem.build().content,
        Some(_) => {}
    }
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut path.get, &mut path.put, &mut path.post, &mut path.delete].into_iter().filter_map(Option::as_mut)
}

/// Those of CONTRACT §6 that a back end may meet.
fn codes() -> Object {
    let codes = [
        Code::BadRequest,
        Code::TokenInvalid,
        Code::Forbidden,
        Code::NotMember,
        Code::NotFound,
        Code::TooLarge,
        Code::RateLimited,
        Code::Unavailable,
        Code::Overloaded,
    ];
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(codes.map(Code::as_str)))
        .description(Some("Stable, for programs."))
        .build()
}
