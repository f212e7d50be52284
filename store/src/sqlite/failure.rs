//! What went wrong in SQLite, in the words of the store.

use std::{fmt::Display, str::FromStr};

use rusqlite::{Error, ErrorCode, Row, types::Type};

use crate::StoreError;

pub(super) fn failed(error: Error) -> StoreError {
    match &error {
        Error::SqliteFailure(code, _)
            if matches!(code.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) =>
        {
            StoreError::Corrupt(error.to_string())
        }
        Error::FromSqlConversionFailure(..)
        | Error::InvalidColumnType(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..) => StoreError::Corrupt(error.to_string()),
        _ => passing(&error),
    }
}

/// Of a failure that another try may not meet.
pub(super) fn passing(error: &Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// Something stored that is not what it should be, in the `column` of a row.
pub(super) fn unreadable(column: usize, why: &dyn Display) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, why.to_string().into())
}

/// A column that holds a name.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: Display,
{
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error: T::Err| unreadable(column, &format_args!("{text:?} {error}")))
}

/// A column that may hold a name.
pub(super) fn parsed_optional<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>>
where
    T: FromStr,
    T::Err: Display,
{
    if row.get_ref(column)?.as_str_or_null()?.is_none() {
        return Ok(None);
    }
    parsed(row, column).map(Some)
}

/// A column that holds a count, a `seq` or a version.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| Error::IntegralValueOutOfRange(column, value))
}

/// As a column holds it; what no column can hold reads as the greatest it can.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
