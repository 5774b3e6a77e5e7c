//! Connections below HTTP, over real sockets and a clock of ours, on each driver.

mod bench;
mod ending;
mod using;

use rocket_core::driver::Driver;
use rocket_core::driver::epoll::Epoll;
use rocket_core::driver::probe::probe_uring;
use rocket_core::driver::uring::{RingOptions, Uring};

fn make_epoll() -> Box<dyn Driver> {
    Box::new(Epoll::new().expect("epoll is always there"))
}

fn make_uring() -> Box<dyn Driver> {
    Box::new(Uring::new(&RingOptions::default()).expect("the probe said yes"))
}

macro_rules! checks {
    ($($module:ident: $($check:ident)*;)*) => {
        mod epoll {
            $($(
                #[test]
                fn $check() {
                    crate::$module::$check(crate::make_epoll);
                }
            )*)*
        }

        mod uring {
            $($(
                #[test]
                fn $check() {
                    match super::probe_uring() {
                        Ok(()) => crate::$module::$check(crate::make_uring),
                        Err(reason) => eprintln!("not checked: {reason}"),
                    }
                }
            )*)*
        }
    };
}

checks! {
    using:
        a_reader_takes_what_arrives_where_it_is
        what_nobody_takes_is_kept_and_nobody_is_told
        a_reader_that_was_told_and_does_not_take_loses_nothing
        nothing_is_received_while_too_much_is_unread
        a_view_lasts_and_is_collected_from_any_thread
        little_is_copied_rather_than_lent
        after_the_clients_end_an_answer_can_be_sent
        our_end_leaves_behind_what_is_staged_and_the_client_may_go_on
        a_flush_waits_for_the_client_and_is_told
        staged_bytes_leave_by_themselves
        too_much_staged_is_refused_until_it_is_sent;
    ending:
        closed_it_still_sends_what_is_staged_then_waits_for_the_clients_end
        a_client_that_never_ends_is_left_after_a_while
        noise_does_not_hold_a_closed_connection_for_ever
        what_a_closed_connections_client_does_not_take_is_cut_off
        a_reader_is_told_that_it_is_late_and_can_go_on
        patience_can_be_changed
        a_flush_is_late_only_when_nothing_is_taken
        an_abort_resets_and_tells_all_who_wait
        a_reset_is_an_error_behind_the_bytes_that_came_before
        a_reset_wakes_all_who_wait
        a_reset_is_seen_while_reading_rests
        bytes_before_a_client_left_are_read_after_our_end
        a_connection_that_is_gone_answers_everything
        what_cannot_be_watched_stays_the_callers;
}
