//! The shell around HTTP connections, over real sockets and a clock of ours, on each driver.

mod accepting;
#[path = "../http1/app.rs"]
mod app;
mod leaving;
mod lending;
mod rig;
mod serving;
mod within;

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
                    crate::$module::$check(crate::rig::Rig::new(crate::make_epoll()));
                }
            )*)*
        }

        mod uring {
            $($(
                #[test]
                fn $check() {
                    match super::probe_uring() {
                        Ok(()) => crate::$module::$check(crate::rig::Rig::new(crate::make_uring())),
                        Err(reason) => eprintln!("not checked: {reason}"),
                    }
                }
            )*)*
        }
    };
}

checks! {
    serving:
        a_connection_is_served_until_its_client_leaves
        a_client_that_reads_late_gets_everything
        the_last_answer_is_followed_by_our_end_and_then_by_the_clients
        an_answer_that_comes_later_finds_its_connection
        an_answer_that_comes_too_late_finds_nobody
        what_was_held_back_is_served_in_turns_of_limited_time
        what_cannot_be_watched_stays_the_callers
        made_up_tokens_name_nothing;
    leaving:
        deadlines_are_kept_and_looked_at_no_earlier_than_needed
        a_request_that_came_just_in_time_is_read_first
        draining_closes_what_is_idle_and_nothing_that_was_asked
        the_longest_idle_connection_is_closed_first
        a_reset_is_told_with_its_reason
        a_reset_is_told_while_nobody_reads
        aborting_cuts_everybody;
    lending:
        what_is_written_in_many_pieces_leaves_at_once
        a_file_leaves_between_what_was_written_before_and_behind
        a_file_that_is_shorter_cuts;
    within:
        a_handler_may_close_the_longest_idle_connection
        a_handler_may_abort_all_and_is_cut_itself
        a_handler_may_abort_all_twice_over
        a_handler_may_open_a_connection
        a_handler_may_have_a_descriptor_watched
        what_a_handler_was_called_with_stays_until_it_returns;
    accepting:
        every_connection_has_a_place_and_gives_it_back
        a_claim_without_a_connection_is_given_back
        what_cannot_be_served_is_closed_and_leaves_no_trace
        whoever_waits_for_a_place_hears_of_one
        newcomers_are_told_of_while_they_are_listened_for;
}
