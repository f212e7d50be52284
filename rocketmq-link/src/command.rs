//! A request or an answer in bytes: the length of the header, the header as JSON, the body. The length of the whole stands before it.

use std::collections::{BTreeMap, HashMap};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// The bit of an answer in `flag`.
const IS_ANSWER: i32 = 1;
/// As whom we speak, which decides what form some answers have: version 4.9.4.
const VERSION: i32 = 401;

/// A request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    /// RocketMQ's `RequestCode`.
    pub(crate) code: i32,
    pub(crate) fields: BTreeMap<&'static str, String>,
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn new<const N: usize>(code: i32, fields: [(&'static str, String); N]) -> Self {
        Self { code, fields: fields.into(), body: Bytes::new() }
    }

    /// Without the length of the whole. `opaque` comes back with the answer.
    pub(crate) fn encode(&self, opaque: i32) -> serde_json::Result<Bytes> {
        let header = serde_json::to_vec(&RequestHeader {
            code: self.code,
            language: "OTHER",
            version: VERSION,
            opaque,
            flag: 0,
            ext_fields: &self.fields,
        })?;
        let mut bytes = BytesMut::with_capacity(4 + header.len() + self.body.len());
        // The first byte is how the header is written: 0, JSON. No header is as long as that.
        bytes.put_u32(u32::try_from(header.len()).unwrap_or(u32::MAX) & 0x00ff_ffff);
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&self.body);
        Ok(bytes.freeze())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestHeader<'a> {
    code: i32,
    language: &'static str,
    version: i32,
    opaque: i32,
    flag: i32,
    ext_fields: &'a BTreeMap<&'static str, String>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) opaque: i32,
    /// RocketMQ's `ResponseCode`.
    pub(crate) code: i32,
    pub(crate) remark: String,
    fields: HashMap<String, Option<String>>,
    pub(crate) body: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerHeader {
    code: i32,
    #[serde(default)]
    flag: i32,
    opaque: i32,
    #[serde(default)]
    remark: Option<String>,
    #[serde(default)]
    ext_fields: Option<HashMap<String, Option<String>>>,
}

impl Answer {
    /// `None`: a request of the server's, which nobody here answers.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn decode(mut bytes: Bytes) -> Result<Option<Self>, String> {
        let length = match bytes.try_get_u32() {
            Ok(length) if length >> 24 == 0 => length as usize,
            Ok(_) => return Err("a header that is not JSON".into()),
            Err(_) => return Err("no header".into()),
        };
        if length > bytes.len() {
            return Err("a header that is longer than the whole".into());
        }
        let header = bytes.split_to(length);
        let header: AnswerHeader = serde_json::from_slice(&header).map_err(|error| error.to_string())?;
        if header.flag & IS_ANSWER == 0 {
            return Ok(None);
        }
        Ok(Some(Self {
            opaque: header.opaque,
            code: header.code,
            remark: header.remark.unwrap_or_default(),
            fields: header.ext_fields.unwrap_or_default(),
            body: bytes,
        }))
    }

    /// A field that is a number.
    pub(crate) fn number(&self, field: &str) -> Option<u64> {
        self.fields.get(field)?.as_ref()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_is_refused_or_passed_over() {
        let framed = |header: &str, rest: &str| {
            let mut bytes = BytesMut::new();
            bytes.put_u32(u32::try_from(header.len()).expect("short"));
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(rest.as_bytes());
            bytes.freeze()
        };
        let answer = framed(r#"{"code":0,"flag":1,"opaque":7,"extFields":{"offset":"12","x":null}}"#, "body");
        let answer = Answer::decode(answer).expect("understood").expect("an answer");
        assert_eq!(
            (answer.opaque, answer.code, answer.number("offset"), answer.number("x")),
            (7, 0, Some(12), None)
        );
        assert_eq!(answer.body, "body");
        let request = Answer::decode(framed(r#"{"code":40,"flag":0,"opaque":1}"#, "")).expect("understood");
        assert!(request.is_none());
        for bytes in [&b""[..], b"\0\0\0\x05{}", b"\x01\0\0\x02{}", b"\0\0\0\x02{}"] {
            assert!(Answer::decode(Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_request_says_how_long_its_header_is() {
        let request =
            Request { body: Bytes::from_static(b"body"), ..Request::new(105, [("topic", "a \"b\"".into())]) };
        let bytes = request.encode(3).expect("written");
        let length = u32::from_be_bytes(bytes[..4].try_into().expect("four")) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[4..4 + length]).expect("JSON");
        assert_eq!((&header["code"], &header["opaque"]), (&105.into(), &3.into()));
        assert_eq!(header["extFields"]["topic"], "a \"b\"");
        assert_eq!(&bytes[4 + length..], b"body");
    }
}
