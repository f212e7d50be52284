//! An event encoded once and shared by all who get it.

use engineioxide_core::Str;

/// A Socket.IO event packet, ready to be queued. Cheap to clone: the bytes are shared.
#[derive(Debug, Clone)]
pub(crate) struct Frame(Str);

impl Frame {
    /// The event `name` with one argument, which is JSON already.
    pub(crate) fn event(name: &str, json: &str) -> Self {
        let mut text = String::with_capacity(name.len() + json.len() + 6);
        text.push_str("2[\"");
        text.push_str(name);
        text.push_str("\",");
        text.push_str(json);
        text.push(']');
        Self(text.into())
    }

    pub(super) fn packet(text: String) -> Self {
        Self(text.into())
    }

    #[cfg(test)]
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn text(&self) -> Str {
        self.0.clone()
    }
}
