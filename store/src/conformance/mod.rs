//! What every implementation of the store must do, and the macro that makes a test of each case.
//!
//! | file | what |
//! |---|---|
//! | `support.rs` | names, messages and short calls for the cases |
//! | `order.rs` | `seq` and `sent_at` |
//! | `duplicates.rs` | the same `cid`, the same id |
//! | `refusals.rs` | who may not write |
//! | `groups.rs`, `members.rs` | settings; spans, also while others write |
//! | `pages.rs` | reading, finding by time |
//! | `inboxes.rs` | inboxes, their versions, read marks |
//! | `marks.rs` | read marks, the log of changes |
//! | `recalls.rs` | recalled messages |
//! | `connections.rs` | epochs and presence |
//! | `forgetting.rs` | devices that are forgotten |
//! | `assertion.rs` | presence that is said again |
//! | `cursors.rs` | what a device has confirmed |
//! | `routing.rs` | which nodes are told |
//! | `retention.rs` | what is trimmed, and what is left |
//! | `outbox.rs` | what consumers have not been given yet |
//! | `rooms.rs` | which nodes hold members of a room |
//! | `watching.rs` | which nodes watch whose presence and messages |
//! | `bans.rs` | the ban list |
//! | `erasure.rs` | what is kept of a user |
//! | `reports.rs` | the nodes' last reports |
//! | `durability.rs` | what is there after closing and opening again |
//!
//! An implementation's test file says `store::conformance!(MyPlace::new());` and gets one `#[tokio::test]` a case.

use async_trait::async_trait;

use crate::Store;

pub mod assertion;
pub mod bans;
pub mod connections;
pub mod cursors;
pub mod duplicates;
pub mod durability;
pub mod erasure;
pub mod forgetting;
pub mod groups;
pub mod inboxes;
pub mod marks;
pub mod members;
pub mod order;
pub mod outbox;
pub mod pages;
pub mod recalls;
pub mod refusals;
pub mod reports;
pub mod retention;
pub mod rooms;
pub mod routing;
pub mod support;
pub mod watching;

/// Where a case's store is kept: empty at first, and nobody else's.
#[async_trait]
pub trait Place: Send + Sync + 'static {
    /// The implementation.
    type Store: Store;

    /// Opens what is kept here. Called again only after the store that it answered before was dropped.
    async fn open(&self) -> Self::Store;
}

/// Makes a test of each case; the expression makes a new, empty [`Place`](crate::conformance::Place).
#[macro_export]
macro_rules! conformance {
    ($place:expr) => {
        $crate::conformance_theme!(
            $place,
            order {
                seq_has_no_holes_under_concurrent_appends,
                a_batch_keeps_its_order,
                conversations_count_by_themselves,
                sent_at_never_decreases_with_seq,
            }
        );
        $crate::conformance_theme!(
            $place,
            duplicates {
                a_repeated_cid_is_stored_once,
                a_cid_counts_for_one_user_in_one_conversation,
                a_repeated_cid_within_a_batch_is_stored_once,
                a_repeated_id_is_stored_once,
                a_late_id_is_not_a_repeated_one,
                concurrent_repeats_are_stored_once,
            }
        );
        $crate::conformance_theme!(
            $place,
            refusals {
                a_group_that_does_not_exist_takes_nothing,
                only_members_write_unless_the_system_does,
                an_older_connection_may_not_write,
                a_refusal_does_not_take_the_others,
                the_first_reason_is_given,
            }
        );
        $crate::conformance_theme!(
            $place,
            groups {
                settings_are_kept_and_changed,
                a_group_made_again_goes_on_counting,
                deleting_removes_everybody,
                an_open_group_is_joined_while_there_is_room,
                members_come_in_pages,
            }
        );
        $crate::conformance_theme!(
            $place,
            members {
                a_span_holds_what_was_written_meanwhile,
                coming_back_makes_another_span,
                leaving_before_any_message_leaves_nothing,
                changes_name_whom_they_changed,
                nobody_sees_half_a_change_while_others_write,
            }
        );
        $crate::conformance_theme!(
            $place,
            pages {
                everything_of_a_message_is_kept,
                forwards_from_the_beginning,
                backwards_from_the_end,
                an_interval_bounds_both_ways,
                bytes_bound_a_page,
                nothing_is_an_empty_page,
                many_requests_keep_their_order,
                heads_tell_how_far_it_has_come,
                a_time_leads_to_a_seq,
                what_was_sent_lately_is_counted,
                names_with_colons_are_different_conversations,
            }
        );
        $crate::conformance_theme!(
            $place,
            inboxes {
                a_message_appears_in_both_inboxes,
                writing_to_oneself_appears_once,
                groups_appear_and_stay,
                each_change_is_a_new_version,
                a_version_is_never_newer_than_what_is_read_with_it,
                writing_moves_the_read_mark,
            }
        );
        $crate::conformance_theme!(
            $place,
            marks {
                a_read_mark_only_goes_forwards,
                marks_of_one_batch_are_set_by_themselves,
                of_a_group_one_reads_what_was_sent_while_one_was_a_member,
                a_large_group_logs_no_reading,
                the_log_tells_what_came_after_a_place,
                places_in_the_log_are_about_the_time,
                changed_conversations_are_found,
                a_logged_reading_bumps_inboxes,
                a_change_names_whom_to_tell,
                concurrent_marks_move_once,
            }
        );
        $crate::conformance_theme!(
            $place,
            recalls {
                a_recalled_message_is_a_tombstone,
                pages_hold_tombstones_in_their_places,
                a_conversation_may_be_recalled_as_a_whole,
                only_its_sender_recalls_a_message_and_only_for_a_while,
                an_older_connection_may_not_recall,
                recalling_again_is_the_same,
                a_repetition_of_a_recalled_message_is_known,
                a_time_leads_to_a_tombstone,
                the_log_has_a_bound,
                tombstones_and_the_log_are_there_again,
            }
        );
        $crate::conformance_theme!(
            $place,
            connections {
                epochs_grow_with_each_connection,
                a_further_device_is_born_when_it_first_connects,
                presence_follows_connections,
                an_old_connection_ends_nothing,
                a_new_start_of_a_node_ends_what_the_old_one_held,
                a_late_call_of_an_old_start_holds_nothing,
                concurrent_connections_get_different_epochs,
                a_device_has_missed_what_came_since_it_had_everything,
            }
        );
        $crate::conformance_theme!(
            $place,
            forgetting {
                beyond_the_limit_the_one_that_was_away_longest_goes,
                where_all_are_connected_the_one_that_came_first_goes,
                one_that_was_not_used_for_long_is_forgotten,
                when_a_device_was_used_is_known_again,
            }
        );
        $crate::conformance_theme!(
            $place,
            assertion {
                a_store_that_forgets_presence_says_so,
                a_connection_that_was_forgotten_is_registered_again,
                a_connection_that_was_replaced_does_not_come_back,
                a_late_assertion_of_an_old_start_holds_nothing,
            }
        );
        $crate::conformance_theme!(
            $place,
            cursors { cursors_only_go_forwards, each_device_has_its_own, an_older_connection_moves_nothing }
        );
        $crate::conformance_theme!(
            $place,
            routing {
                a_direct_message_goes_to_the_nodes_of_both,
                interest_is_registered_and_withdrawn,
                each_change_of_nodes_is_a_new_version,
                an_append_answers_a_version_that_is_not_older,
                interest_counts_for_one_start_of_a_node,
            }
        );
        $crate::conformance_theme!(
            $place,
            rooms {
                members_are_counted_by_node,
                a_node_that_holds_none_is_not_named,
                many_rooms_are_answered_in_order,
                members_count_for_one_start_of_a_node,
                a_room_is_no_group,
            }
        );
        $crate::conformance_theme!(
            $place,
            watching {
                who_comes_and_goes_is_told_who_watches,
                a_batch_is_answered_in_order,
                watching_counts_for_one_start_of_a_node,
                who_is_watched_is_not_connected_by_it,
                messages_go_to_who_watches_them,
                who_watches_messages_is_no_device,
                watched_messages_count_for_one_start_of_a_node,
            }
        );
        $crate::conformance_theme!(
            $place,
            reports { the_last_report_of_each_node_is_kept, a_late_report_of_an_old_start_is_dropped }
        );
        $crate::conformance_theme!(
            $place,
            retention {
                the_newest_are_kept,
                a_pass_has_steps,
                a_pass_comes_by_every_conversation,
                what_is_old_is_trimmed,
                a_pass_tells_what_is_left,
                what_is_stored_takes_space,
                what_was_recalled_is_trimmed_like_the_rest,
                seq_goes_on,
                a_repetition_of_what_was_trimmed_is_no_error,
                it_is_trimmed_for_good,
                a_page_says_where_it_begins_while_it_is_trimmed,
            }
        );
        $crate::conformance_theme!(
            $place,
            outbox {
                without_a_consumer_nothing_is_written_down,
                entries_of_a_conversation_are_in_order,
                only_what_is_stored_is_written_down,
                what_is_confirmed_does_not_come_again,
                an_old_term_confirms_nothing,
                each_consumer_has_its_own_place,
                an_outbox_is_bounded,
                changes_of_connections_are_written_down,
                one_whose_devices_are_forgotten_is_written_down,
                what_was_told_of_users_is_remembered,
                outboxes_are_there_again,
            }
        );
        $crate::conformance_theme!(
            $place,
            bans { one_who_is_banned_is_so_until_it_is_taken_back, bans_are_there_again }
        );
        $crate::conformance_theme!(
            $place,
            erasure {
                a_conversation_of_two_is_forgotten_for_one,
                a_new_message_brings_a_conversation_back,
                a_group_is_forgotten_after_leaving,
                devices_are_told_and_forgotten,
                what_was_forgotten_stays_so,
            }
        );
        $crate::conformance_theme!(
            $place,
            durability {
                messages_are_there_again,
                duplicates_are_known_again,
                groups_and_spans_are_there_again,
                devices_are_known_again,
                versions_do_not_go_back,
            }
        );
    };
}

/// One theme of [`conformance!`].
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_theme {
    ($place:expr, $theme:ident { $($case:ident),* $(,)? }) => {
        mod $theme {
            #[allow(unused_imports, reason = "the expression may need names of the file")]
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let place = $place;
                    $crate::conformance::$theme::$case(&place).await;
                }
            )*
        }
    };
}
