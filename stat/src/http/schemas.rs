//! What other crates put into bodies and paths, as `/openapi.json` describes it. The types themselves know nothing of it.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Object, ObjectBuilder, RefOr, Schema, SchemaFormat, Type,
        schema::{AdditionalProperties, KnownFormat},
    },
};

/// A text with a pattern: only its schema, there are never values of it.
macro_rules! text {
    ($(#[doc = $doc:literal])+ $type:ident, $pattern:expr, $example:literal) => {
        $(#[doc = $doc])+
        pub(super) struct $type;

        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                text(concat!($($doc),+).trim(), $pattern, $example).into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                stringify!($type).into()
            }
        }
    };
}

const NAME: &str = "^[A-Za-z0-9_.:@-]{1,64}$";

text!(
    /// A user's name.
    UserName, NAME, "alice"
);
text!(
    /// A group's name.
    GroupName, NAME, "team"
);
text!(
    /// A device's name.
    DeviceName, NAME, "phone-1"
);
text!(
    /// A conversation: of two users, sorted bytewise, each `:` in a name written `%3A`; or of a group.
    ConversationName,
    "^(u:([A-Za-z0-9_.@-]|%3A){1,64}:([A-Za-z0-9_.@-]|%3A){1,64}|g:[A-Za-z0-9_.:@-]{1,64})$",
    "u:alice:bob"
);
text!(
    /// A message's id, 64 bits in decimal; later ids are higher.
    MessageId, "^[0-9]{1,20}$", "389721048309760"
);

fn text(description: &str, pattern: &str, example: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .pattern(Some(pattern))
        .examples([example])
        .build()
}

/// A time, milliseconds since the Unix epoch.
pub(super) fn time() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .description(Some("Milliseconds since the Unix epoch."))
        .examples([1_795_238_000_000_i64])
        .build()
}

/// The same, or `null`.
pub(super) fn time_or_null() -> Object {
    let mut object = time();
    object.schema_type = [Type::Integer, Type::Null].into_iter().collect();
    object
}

/// Where a message goes: exactly one of the four.
pub(super) struct Target;

impl PartialSchema for Target {
    fn schema() -> RefOr<Schema> {
        let of = |schema: Object, description: &str| {
            let mut schema = schema;
            schema.description = Some(description.to_owned());
            schema
        };
        let everybody = ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([true])).build();
        ObjectBuilder::new()
            .property("user", of(text("", NAME, "alice"), "One user."))
            .property("group", of(text("", NAME, "team"), "All members of a group."))
            .property("room", of(text("", NAME, "lobby"), "Who is in a room now; nothing is stored."))
            .property("all", of(everybody, "Everybody who is connected now; nothing is stored."))
            .min_properties(Some(1))
            .max_properties(Some(1))
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .description(Some("Where a message goes: exactly one of these."))
            .examples([serde_json::json!({"user": "bob"})])
            .into()
    }
}

impl ToSchema for Target {
    fn name() -> Cow<'static, str> {
        "Target".into()
    }
}

/// A message that was sent.
#[derive(ToSchema)]
#[schema(as = Sent)]
#[expect(dead_code, reason = "only its schema")]
pub(super) struct SentMessage {
    #[schema(value_type = MessageId)]
    id: String,
    #[schema(schema_with = time)]
    sent_at: i64,
    /// Its place in the conversation. Not of a room, nor of everybody: these are stored nowhere.
    #[schema(nullable = false, minimum = 1)]
    seq: Option<u64>,
    #[schema(value_type = ConversationName, required = false)]
    conversation: Option<String>,
    /// Whether it had been stored before, under the same `cid`.
    #[schema(nullable = false)]
    duplicate: Option<bool>,
}

/// A stored message.
#[derive(ToSchema)]
#[schema(as = Message)]
#[expect(dead_code, reason = "only its schema")]
pub(super) struct StoredMessage {
    #[schema(value_type = ConversationName)]
    conversation: String,
    /// Its place in the conversation: 1, 2, 3 … without holes.
    #[schema(minimum = 1)]
    seq: u64,
    #[schema(value_type = MessageId)]
    id: String,
    /// The sender's own id for it.
    #[schema(nullable = false)]
    cid: Option<String>,
    #[schema(value_type = UserName)]
    from: String,
    /// The device that it came from; missing where a back end sent it.
    #[schema(value_type = DeviceName, required = false)]
    device: Option<String>,
    #[schema(value_type = Target)]
    to: String,
    /// The kind of message, `text` where the sender named none.
    r#type: String,
    /// Any JSON; `null` once it was recalled.
    #[schema(value_type = Value)]
    body: String,
    #[schema(schema_with = time)]
    sent_at: i64,
    /// Since when only its place is left.
    #[schema(schema_with = time, required = false)]
    recalled_at: Option<i64>,
}

/// A page of a conversation.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema")]
pub(super) struct HistoryPage {
    /// Ascending by `seq`.
    messages: Vec<StoredMessage>,
    /// Whether the interval holds more than the page.
    more: bool,
    /// The last `seq` of the conversation, 0 where there is none.
    last_seq: u64,
}

/// A device that is connected.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema")]
pub(super) struct PresentDevice {
    #[schema(value_type = DeviceName)]
    device: String,
    /// The id of the spear that holds its connection.
    node: String,
    #[schema(schema_with = time)]
    since_at: i64,
}
