//! Bodies, paths and queries; what does not fit is refused as problem+json.

use std::{fmt, marker::PhantomData};

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{
        header::{CONTENT_LENGTH, TRANSFER_ENCODING},
        request::Parts,
    },
};
use boot::Problem;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// The greatest whole number that every client can hold.
const WHOLE_MAX: u64 = (1 << 53) - 1;

/// A whole number, 0 to 2^53 - 1.
#[derive(Clone, Copy)]
pub(super) struct Whole(pub u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        if number > WHOLE_MAX {
            return Err(D::Error::custom(format!("expected a whole number, at most {WHOLE_MAX}")));
        }
        Ok(Self(number))
    }
}

impl Whole {
    /// As a count of entries.
    pub(super) fn count(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A value that stands as a JSON object; by itself serde takes a list of a struct's fields, too.
struct Object<T>(T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyObject<T>(PhantomData<T>);

        impl<'de, T: DeserializeOwned> Visitor<'de> for OnlyObject<T> {
            type Value = T;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(OnlyObject(PhantomData)).map(Self)
    }
}

/// A JSON body of this form.
pub(super) struct Body<T>(pub T);

/// A JSON body of this form, or none: one without a `content-type` is none, and so is `null`.
pub(super) struct OptionalBody<T>(pub T);

/// The one parameter of the path.
pub(super) struct Segment<T>(pub T);

/// The query's parameters.
pub(super) struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(Object(body)) = Json::from_request(request, state).await?;
        Ok(Self(body))
    }
}

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let headers = request.headers();
        let is_empty = !headers.contains_key(TRANSFER_ENCODING)
            && headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0");
        // Else one without a content type would count as none.
        if is_empty {
            return Ok(Self(T::default()));
        }
        let Json(body) = Json::<Option<Object<T>>>::from_request(request, state).await?;
        Ok(Self(body.map(|Object(body)| body).unwrap_or_default()))
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
