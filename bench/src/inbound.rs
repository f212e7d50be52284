//! Frames out of a stream of bytes.

use crate::websocket::{Broken, Head, Opcode};

/// The incoming side of one connection. It owns bytes only while a frame is half-read.
#[derive(Debug, Default)]
pub struct Inbound {
    half_read: Vec<u8>,
}

impl Inbound {
    /// Takes what was read, and hands every whole frame to `each`: what it is, and its payload.
    ///
    /// # Errors
    /// What is not a frame; the connection is of no use after it.
    pub fn feed(&mut self, bytes: &mut [u8], mut each: impl FnMut(Opcode, &[u8])) -> Result<(), Broken> {
        if self.half_read.is_empty() {
            let taken = walk(bytes, &mut each)?;
            self.half_read = bytes[taken..].to_vec();
            return Ok(());
        }
        self.half_read.extend_from_slice(bytes);
        let taken = walk(&mut self.half_read, &mut each)?;
        if taken > 0 {
            // A new vector of the right size: the old one is as large as the largest read.
            self.half_read = self.half_read[taken..].to_vec();
        }
        Ok(())
    }
}

/// Hands out the whole frames in `bytes`, and answers how many bytes they have.
fn walk(bytes: &mut [u8], each: &mut impl FnMut(Opcode, &[u8])) -> Result<usize, Broken> {
    let mut taken = 0;
    while let Some(head) = Head::read(&bytes[taken..])? {
        let Some(frame) = bytes[taken..].get_mut(..head.total()) else { break };
        each(head.opcode, head.payload(frame));
        taken += head.total();
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::{Side, write};

    #[test]
    fn any_split_of_the_stream_gives_the_same_frames() {
        let payloads: [&[u8]; 4] = [b"one", &[7; 300], b"", b"four"];
        for side in [Side::Client, Side::Server] {
            let mut stream = Vec::new();
            for payload in payloads {
                write(&mut stream, side, Opcode::Text, payload);
            }
            for step in [1, 2, 3, 5, 64, stream.len()] {
                let mut inbound = Inbound::default();
                let mut seen = Vec::new();
                for part in stream.clone().chunks_mut(step) {
                    inbound
                        .feed(part, |opcode, payload| seen.push((opcode, payload.to_vec())))
                        .expect("frames");
                }
                let expected: Vec<_> = payloads.iter().map(|it| (Opcode::Text, it.to_vec())).collect();
                assert!(seen == expected, "{side:?} in steps of {step}");
                assert_eq!(inbound.half_read.capacity(), 0, "nothing is kept while nothing is half-read");
            }
        }
    }
}
