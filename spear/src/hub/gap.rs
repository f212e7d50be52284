//! What retention has taken before a connection was given it: the client is told, never silently.

use serde_json::json;
use socket::Frame;
use store::{Page, Span};
use wire::Conversation;

/// The first `seq` that there is, as a page after `position` shows.
///
/// A page that was asked for from `position` on has no holes, so what it begins with tells as well as what it says.
pub(super) fn begins_at(page: &Page) -> u64 {
    page.messages.first().map_or(page.first_seq, |message| message.seq)
}

/// The `gap` events for what is missing after `position`, when the next that there is has the `seq` `begins_at`: only what was the
/// user's. `None` for direct conversations, where all is.
pub(super) fn frames(
    conversation: &Conversation,
    position: u64,
    begins_at: u64,
    spans: Option<&[Span]>,
) -> Vec<Frame> {
    const ALWAYS: &[Span] = &[Span { joined_seq: 1, left_seq: None }];
    let (from, end) = (position.saturating_add(1), begins_at);
    let spans = spans.unwrap_or(ALWAYS).iter();
    spans
        .map(|span| (from.max(span.joined_seq), span.left_seq.map_or(end, |left| left.min(end))))
        .filter(|(from, end)| from < end)
        .map(|(from, end)| {
            let gap = json!({"conversation": conversation, "from_seq": from, "to_seq": end - 1});
            Frame::event("gap", &gap.to_string())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use wire::{Destination, Group, time::now_ms};

    use super::{
        super::fixture::{Fixture, user},
        *,
    };

    const PLENTY: usize = 1_000;

    fn with_alice() -> Conversation {
        Conversation::direct(user("alice"), user("bob"))
    }

    /// Stores messages to bob, whose hints are lost.
    async fn write(fixture: &Fixture, count: usize) {
        for _ in 0..count {
            fixture.append("alice", Destination::User(user("bob")), 0).await;
        }
    }

    #[tokio::test]
    async fn a_device_that_was_away_too_long_is_told_what_it_missed() {
        let fixture = Fixture::new().await;
        write(&fixture, 4).await;
        let (bob, client) = fixture.connect("bob", "phone", PLENTY).await;
        client.has(1..=4).await;
        fixture.confirmed(&bob, &with_alice(), 2).await;
        fixture.hub.remove(&bob);
        write(&fixture, 6).await;
        fixture.trim(3).await;
        let (_bob, client) = fixture.connect("bob", "phone", PLENTY).await;
        client.was_told(&["3..=7", "m8", "m9", "m10"]).await;
        let live = fixture.append("alice", Destination::User(user("bob")), 0).await;
        fixture.deliver(live);
        client.was_told(&["3..=7", "m8", "m9", "m10", "m11"]).await;
    }

    #[tokio::test]
    async fn where_nothing_is_left_it_is_told_too_and_goes_on() {
        let fixture = Fixture::new().await;
        write(&fixture, 2).await;
        let (bob, client) = fixture.connect("bob", "phone", PLENTY).await;
        client.has(1..=2).await;
        fixture.confirmed(&bob, &with_alice(), 1).await;
        fixture.hub.remove(&bob);
        write(&fixture, 1).await;
        fixture.trim_by_age(&with_alice()).await;
        let (_bob, client) = fixture.connect("bob", "phone", PLENTY).await;
        client.was_told(&["2..=3"]).await;
        let live = fixture.append("alice", Destination::User(user("bob")), 0).await;
        fixture.deliver(live);
        client.was_told(&["2..=3", "m4"]).await;
    }

    #[tokio::test]
    async fn a_users_first_device_begins_with_what_is_left() {
        let fixture = Fixture::new().await;
        write(&fixture, 10).await;
        fixture.trim(2).await;
        let (_bob, client) = fixture.connect("bob", "phone", PLENTY).await;
        client.was_told(&["m9", "m10"]).await;
    }

    /// It was there when they were sent; hints were lost, and retention was faster than the sweep.
    #[tokio::test]
    async fn a_new_device_is_told_what_went_since_it_connected() {
        for left in [2, 0] {
            let fixture = Fixture::new().await;
            let (bob, client) = fixture.connect("bob", "phone", PLENTY).await;
            let since = bob.registered().map_or(0, |registered| registered.since_at);
            fixture.until("it is later", || now_ms() > since).await;
            write(&fixture, 10).await;
            if left == 0 {
                fixture.trim_by_age(&with_alice()).await;
            } else {
                fixture.trim(left).await;
            }
            fixture.hub.sweep().await.expect("the store works");
            let told: &[&str] = if left == 0 { &["1..=10"] } else { &["1..=8", "m9", "m10"] };
            client.was_told(told).await;
        }
    }

    #[tokio::test]
    async fn a_device_that_never_saw_a_conversation_is_told_all_the_same() {
        let fixture = Fixture::new().await;
        for device in ["phone", "pad"] {
            let (bob, _client) = fixture.connect("bob", device, PLENTY).await;
            fixture.hub.remove(&bob);
        }
        write(&fixture, 10).await;
        fixture.trim(2).await;
        for device in ["phone", "pad"] {
            let (_bob, client) = fixture.connect("bob", device, PLENTY).await;
            client.was_told(&["1..=8", "m9", "m10"]).await;
        }
    }

    /// Hints were lost, and retention was faster than the sweep.
    #[tokio::test]
    async fn who_is_live_is_told_what_went_before_it_could_be_read() {
        let fixture = Fixture::new().await;
        let (_bob, client) = fixture.connect("bob", "phone", PLENTY).await;
        let first = fixture.append("alice", Destination::User(user("bob")), 0).await;
        fixture.deliver(first);
        client.has([1]).await;
        write(&fixture, 9).await;
        fixture.trim(2).await;
        let last = fixture.append("alice", Destination::User(user("bob")), 0).await;
        fixture.deliver(last);
        client.was_told(&["m1", "2..=8", "m9", "m10", "m11"]).await;
    }

    #[tokio::test]
    async fn of_a_group_only_what_was_the_members_is_told() {
        let fixture = Fixture::new().await;
        let group: Group = fixture.group("team", &["alice"]).await;
        let write = async |count: usize| {
            for _ in 0..count {
                fixture.append("alice", Destination::Group(group.clone()), 0).await;
            }
        };
        let (bob, _client) = fixture.connect("bob", "phone", PLENTY).await;
        fixture.hub.remove(&bob);
        write(3).await;
        fixture.add(&group, "bob").await;
        write(7).await;
        fixture.trim(2).await;
        let (_bob, client) = fixture.connect("bob", "phone", PLENTY).await;
        client.was_told(&["4..=8", "m9", "m10"]).await;
    }

    #[tokio::test]
    async fn who_comes_back_to_a_group_is_not_told_of_what_the_connection_was_given() {
        let fixture = Fixture::new().await;
        for device in ["phone", "pad"] {
            let (bob, _client) = fixture.connect("bob", device, PLENTY).await;
            fixture.hub.remove(&bob);
        }
        let group: Group = fixture.group("team", &["alice", "bob"]).await;
        let write = async |count: usize| {
            for _ in 0..count {
                fixture.append("alice", Destination::Group(group.clone()), 0).await;
            }
        };
        write(3).await;
        let (bob, client) = fixture.connect("bob", "pad", PLENTY).await;
        client.has(1..=3).await;
        let removed = fixture.remove(&group, "bob").await;
        fixture.deliver(removed);
        fixture.until("bob has left", || !fixture.hub.is_in(&bob, &group)).await;
        write(6).await;
        fixture.trim(2).await;
        let added = fixture.add(&group, "bob").await;
        fixture.deliver(added);
        write(1).await;
        fixture.hub.sweep().await.expect("the store works");
        client.was_told(&["m1", "m2", "m3", "m10"]).await;
    }

    #[tokio::test]
    async fn what_is_in_a_gap_may_be_confirmed() {
        let fixture = Fixture::new().await;
        let (bob, _client) = fixture.connect("bob", "phone", PLENTY).await;
        fixture.hub.remove(&bob);
        write(&fixture, 10).await;
        fixture.trim(2).await;
        let (bob, client) = fixture.connect("bob", "phone", PLENTY).await;
        client.was_told(&["1..=8", "m9", "m10"]).await;
        assert!(bob.confirm(with_alice(), 5));
        assert_eq!(bob.take_confirmed(), [(with_alice(), 5)]);
    }

    #[test]
    fn a_gap_names_only_what_was_the_users() {
        let conversation: Conversation = "g:team".parse().expect("a name");
        let span = |joined_seq, left_seq| Span { joined_seq, left_seq };
        let told = |position, begins_at, spans: Option<&[Span]>| {
            let frames = frames(&conversation, position, begins_at, spans);
            let text = |frame: &Frame| frame.text().unwrap_or_default().to_owned();
            let numbers = |text: String| {
                let gap: (String, serde_json::Value) =
                    serde_json::from_str(text.trim_start_matches(['4', '2'])).expect("an event");
                assert_eq!((gap.0.as_str(), &gap.1["conversation"]), ("gap", &json!("g:team")));
                (gap.1["from_seq"].as_u64().expect("a seq"), gap.1["to_seq"].as_u64().expect("a seq"))
            };
            frames.iter().map(text).map(numbers).collect::<Vec<_>>()
        };
        assert_eq!(told(3, 10, None), [(4, 9)]);
        assert_eq!(told(9, 10, None), []);
        assert_eq!(told(12, 10, None), []);
        assert_eq!(told(0, 10, Some(&[])), []);
        assert_eq!(told(0, 10, Some(&[span(4, None)])), [(4, 9)]);
        assert_eq!(told(0, 10, Some(&[span(12, None)])), []);
        assert_eq!(
            told(0, 10, Some(&[span(1, Some(3)), span(5, Some(7)), span(9, None)])),
            [(1, 2), (5, 6), (9, 9)]
        );
        assert_eq!(told(2, 10, Some(&[span(1, Some(3)), span(8, Some(20))])), [(8, 9)]);
    }
}
