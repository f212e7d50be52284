//! JSON as RocketMQ's servers write it: numbers may stand as keys without quotes.

use serde::de::DeserializeOwned;

/// Reads it.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(&quoted(bytes)).map_err(|error| error.to_string())
}

/// The same with quotes about each key that is a number. Only a key can come after `{`, or after a comma and before a colon.
fn quoted(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len() + 16);
    let (mut at, mut in_string, mut may_be_key) = (0, false, false);
    while let Some(&byte) = bytes.get(at) {
        if in_string {
            text.push(byte);
            match byte {
                b'\\' => {
                    at += 1;
                    text.extend(bytes.get(at));
                }
                b'"' => in_string = false,
                _ => {}
            }
        } else if may_be_key && (byte.is_ascii_digit() || byte == b'-') {
            let length =
                bytes[at..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'-').count();
            let number = &bytes[at..at + length];
            if bytes.get(at + length) == Some(&b':') {
                text.push(b'"');
                text.extend_from_slice(number);
                text.push(b'"');
            } else {
                text.extend_from_slice(number);
            }
            at += length - 1;
            may_be_key = false;
        } else {
            text.push(byte);
            in_string = byte == b'"';
            may_be_key = matches!(byte, b'{' | b',') || (may_be_key && byte.is_ascii_whitespace());
        }
        at += 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_get_quotes_and_nothing_else_does() {
        for (given, expected) in [
            (r#"{0:"a",-1:2}"#, r#"{"0":"a","-1":2}"#),
            (r#"{"a":[1,2,{3:4}],"b":5}"#, r#"{"a":[1,2,{"3":4}],"b":5}"#),
            (r#"{"{0:":"\",1:","c":{ 12:3}}"#, r#"{"{0:":"\",1:","c":{ "12":3}}"#),
            ("", ""),
            (r#"{"open"#, r#"{"open"#),
            (r#""\"#, r#""\"#),
        ] {
            assert_eq!(String::from_utf8_lossy(&quoted(given.as_bytes())), expected);
        }
    }
}
