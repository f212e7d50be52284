//! What a run asks for.

use std::time::Duration;

use redis::{Cmd, Script, ToRedisArgs};

/// How many slots a Redis Cluster has.
pub(crate) const SLOTS: u16 = 16_384;

/// One command or script, and the server it belongs to.
#[derive(Debug, Clone)]
pub struct Call {
    /// Of the tag; what decides the server in a cluster.
    pub(crate) slot: u16,
    pub(crate) command: Cmd,
    /// Set where the command is an EVALSHA of it.
    pub(crate) script: Option<&'static Script>,
}

impl Call {
    /// A command. `tag` decides the server: any key of the command, or the part in braces that its keys share.
    pub fn command(tag: impl AsRef<[u8]>, command: Cmd) -> Self {
        Self { slot: slot(tag.as_ref()), command, script: None }
    }

    /// A script, sent as EVALSHA and loaded where a server does not know it. All keys must share the slot of `tag`.
    pub fn script<K: ToRedisArgs, A: ToRedisArgs>(
        tag: impl AsRef<[u8]>,
        script: &'static Script,
        keys: &[K],
        arguments: &[A],
    ) -> Self {
        let mut command = redis::cmd("EVALSHA");
        command.arg(script.get_hash()).arg(keys.len());
        for key in keys {
            command.arg(key);
        }
        for argument in arguments {
            command.arg(argument);
        }
        Self { slot: slot(tag.as_ref()), command, script: Some(script) }
    }

    /// One more argument at the end, for arguments of different types.
    #[must_use]
    pub fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.command.arg(argument);
        self
    }
}

/// How many replicas must confirm what a run has done, and for how long they are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// How many; 0 is no waiting.
    pub replicas: u32,
    /// Cut down to three quarters of the options' `response_timeout`, so that a run can still answer.
    pub timeout: Duration,
}

/// The slot of a tag, 0 to 16,383: of what stands in its first braces, where that is something.
pub(crate) fn slot(tag: &[u8]) -> u16 {
    let braced = tag.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &tag[open + 1..];
        rest.iter().position(|byte| *byte == b'}').map(|close| &rest[..close])
    });
    let hashed = braced.filter(|braced| !braced.is_empty()).unwrap_or(tag);
    crc16::State::<crc16::XMODEM>::calculate(hashed) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // As CLUSTER KEYSLOT answers.
        for (tag, expected) in [
            ("", 0),
            ("123456789", 12_739),
            ("foo", 12_182),
            ("{foo}bar", 12_182),
            ("a{foo}{bar}", 12_182),
            ("{}foo", 9_500),
            ("foo{", 7_673),
        ] {
            assert_eq!(slot(tag.as_bytes()), expected, "{tag}");
        }
    }
}
