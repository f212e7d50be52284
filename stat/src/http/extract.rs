//! Bodies, paths and queries; what does not fit is refused as problem+json.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::request::Parts,
};
use boot::Problem;
use serde::de::DeserializeOwned;

/// A JSON body of this form.
pub(super) struct Body<T>(pub T);

/// A JSON body of this form, or none: one without a `content-type` is none.
pub(super) struct OptionalBody<T>(pub T);

/// The one parameter of the path.
pub(super) struct Segment<T>(pub T);

/// The query's parameters.
pub(super) struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(body) = Json::from_request(request, state).await?;
        Ok(Self(body))
    }
}

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Option::<Json<T>>::from_request(request, state).await?;
        Ok(Self(body.map(|Json(body)| body).unwrap_or_default()))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segment<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(segment) = Path::from_request_parts(parts, state).await?;
        Ok(Self(segment))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(params) = Query::from_request_parts(parts, state).await?;
        Ok(Self(params))
    }
}
