//! Messages as they are sent, and as they are stored.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// Between a property's name and its value.
const NAME_END: char = '\u{1}';
/// After a property.
const PROPERTY_END: char = '\u{2}';
/// The bits of a stored message's `sysFlag`: its body is compressed; the addresses in it are of IPv6.
const COMPRESSED: i32 = 1;
const BORN_IPV6: i32 = 1 << 4;
const STORED_IPV6: i32 = 1 << 5;

/// A message to be sent.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// By which it can be found, and which readers get as its keys; empty: none. A space stands between several; it holds no control characters.
    pub key: String,
    /// Any bytes.
    pub body: Bytes,
}

impl Outgoing {
    pub(crate) fn properties(&self) -> String {
        if self.key.is_empty() { String::new() } else { format!("KEYS{NAME_END}{}{PROPERTY_END}", self.key) }
    }

    /// About how many bytes it takes in a batch.
    pub(crate) fn size(&self) -> usize {
        self.key.len() + self.body.len() + 40
    }
}

/// The body of a batch; `None`: a message's properties are too long for it.
pub(crate) fn batch(messages: &[Outgoing]) -> Option<Bytes> {
    let mut bytes = BytesMut::with_capacity(messages.iter().map(Outgoing::size).sum());
    for message in messages {
        let properties = message.properties();
        let size = 5 * 4 + message.body.len() + 2 + properties.len();
        bytes.put_u32(u32::try_from(size).ok()?);
        // The magic number, the checksum and the flag are the broker's.
        bytes.put_bytes(0, 3 * 4);
        bytes.put_u32(u32::try_from(message.body.len()).ok()?);
        bytes.extend_from_slice(&message.body);
        bytes.put_i16(i16::try_from(properties.len()).ok()?);
        bytes.extend_from_slice(properties.as_bytes());
    }
    Some(bytes.freeze())
}

/// The offsets and bodies of stored messages, one after the other, without a copy; those that are compressed, which none of ours is, are left out.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn stored(mut bytes: Bytes) -> Result<Vec<(u64, Bytes)>, &'static str> {
    let mut messages = Vec::new();
    while bytes.has_remaining() {
        let size = bytes.clone().try_get_u32().map_err(|_| "a message without its size")? as usize;
        if size < 4 || size > bytes.len() {
            return Err("a message that is longer than the answer");
        }
        if let Some(message) = read(bytes.split_to(size)).map_err(|_| "a message that is too short")? {
            messages.push(message);
        }
    }
    Ok(messages)
}

fn read(mut message: Bytes) -> Result<Option<(u64, Bytes)>, bytes::TryGetError> {
    // Its size, magic number, checksum, queue and flag.
    skip(&mut message, 5 * 4)?;
    let offset = message.try_get_u64()?;
    // Where it is in the log.
    skip(&mut message, 8)?;
    let flags = message.try_get_i32()?;
    // When and where it was made, when and where it was stored; the port takes four bytes.
    let address = |bit| 4 + if flags & bit == 0 { 4 } else { 16 };
    skip(&mut message, 8 + address(BORN_IPV6) + 8 + address(STORED_IPV6))?;
    // How often it was consumed again, and the offset of its transaction.
    skip(&mut message, 4 + 8)?;
    let length = message.try_get_i32()?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > message.len() {
        return Err(bytes::TryGetError { requested: length, available: message.len() });
    }
    message.truncate(length);
    Ok((flags & COMPRESSED == 0).then_some((offset, message)))
}

fn skip(bytes: &mut Bytes, count: usize) -> Result<(), bytes::TryGetError> {
    if bytes.len() < count {
        return Err(bytes::TryGetError { requested: count, available: bytes.len() });
    }
    bytes.advance(count);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a broker of version 5.5 stores it.
    fn as_stored(body: &[u8], flags: i32) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_bytes(7, 5 * 4);
        bytes.put_u64(9);
        bytes.put_bytes(7, 8);
        bytes.put_i32(flags);
        bytes.put_bytes(7, 8 + if flags & BORN_IPV6 == 0 { 8 } else { 20 });
        bytes.put_bytes(7, 8 + if flags & STORED_IPV6 == 0 { 8 } else { 20 });
        bytes.put_bytes(7, 4 + 8);
        bytes.put_u32(body.len() as u32);
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(b"\x05topic\0\0");
        let size = bytes.len() as u32;
        bytes[..4].copy_from_slice(&size.to_be_bytes());
        bytes.freeze()
    }

    #[test]
    fn bodies_are_found_whatever_the_addresses_are() {
        let mut bytes = BytesMut::new();
        for (body, flags) in
            [("one", 0), ("", BORN_IPV6), ("pressed", COMPRESSED), ("two", BORN_IPV6 | STORED_IPV6)]
        {
            bytes.extend_from_slice(&as_stored(body.as_bytes(), flags));
        }
        assert_eq!(stored(bytes.freeze()), Ok(vec![(9, "one".into()), (9, "".into()), (9, "two".into())]));
    }

    #[test]
    fn what_is_cut_off_or_lies_about_its_length_is_refused() {
        let whole = as_stored(b"a body", 0);
        for length in 1..whole.len() {
            assert!(stored(whole.slice(..length)).is_err(), "{length} bytes");
        }
        for length in 4..whole.len() as u32 - 12 {
            let mut lying = BytesMut::from(&whole[..length as usize]);
            lying[..4].copy_from_slice(&length.to_be_bytes());
            assert!(stored(lying.freeze()).is_err(), "it says {length} bytes");
        }
        assert!(stored(Bytes::from_static(&[0; 8])).is_err(), "a size of nothing");
    }
}
