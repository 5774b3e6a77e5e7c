//! What every driver does: one list of checks, run on each of them.
//!
//! A check is a function that takes a way to make drivers. Where the kernel has no io_uring, its rows say so and
//! pass.

mod closing;
mod foreign;
mod listening;
mod receiving;
mod rig;
mod waiting;
mod writing;

use rocket_core::driver::epoll::Epoll;
use rocket_core::driver::probe::probe_uring;
use rocket_core::driver::uring::{RingOptions, Uring};

fn make_epoll() -> Option<Epoll> {
    Some(Epoll::new().expect("epoll is always there"))
}

fn make_uring(options: &RingOptions) -> Option<Uring> {
    if let Err(reason) = probe_uring() {
        eprintln!("not checked: {reason}");
        return None;
    }
    Some(Uring::new(options).expect("the probe said yes"))
}

/// The io_uring driver as it is by default.
fn make_default() -> Option<Uring> {
    make_uring(&RingOptions::default())
}

/// With so little of everything that it runs out of everything.
fn make_tiny() -> Option<Uring> {
    make_uring(&RingOptions { entries: 2, buffers: 2, buffer_size: 64, batch: 3, ..RingOptions::default() })
}

/// As on a kernel that cannot defer its work.
fn make_cooperative() -> Option<Uring> {
    make_uring(&RingOptions { single_issuer: false, ..RingOptions::default() })
}

/// With a kernel thread that looks for submissions.
fn make_polled() -> Option<Uring> {
    make_uring(&RingOptions { sqpoll: true, sqpoll_idle_ms: 1, ..RingOptions::default() })
}

macro_rules! checks {
    ($($module:ident: $($check:ident)*;)*) => {
        checks!(@driver epoll make_epoll, $($module: $($check)*;)*);
        checks!(@driver uring make_default, $($module: $($check)*;)*);
        checks!(@driver uring_tiny make_tiny, $($module: $($check)*;)*);
        checks!(@driver uring_cooperative make_cooperative, $($module: $($check)*;)*);
        checks!(@driver uring_polled make_polled, $($module: $($check)*;)*);
    };
    (@driver $driver:ident $make:ident, $($module:ident: $($check:ident)*;)*) => {
        mod $driver {
            $($(
                #[test]
                fn $check() {
                    if let Some(driver) = crate::$make() {
                        crate::$module::$check(crate::rig::Rig::new(driver));
                    }
                }
            )*)*
        }
    };
}

checks! {
    receiving:
        bytes_of_any_size_arrive_whole_and_in_order
        many_connections_do_not_mix
        few_buffers_slow_and_lose_nothing
        a_hog_starves_nobody
        paused_connections_take_no_buffers
        a_paused_client_cannot_send_for_ever
        nothing_is_told_while_paused
        a_pause_within_one_batch_loses_nothing
        pauses_at_any_moment_lose_nothing
        bytes_stay_while_other_things_happen
        a_kept_chunk_outlives_later_waits
        the_end_comes_after_the_bytes_and_once
        an_end_while_paused_is_told_when_reading_goes_on
        a_reset_is_a_failure
        a_reset_while_paused_is_told_once
        a_reset_after_the_end_is_told;
    writing:
        writable_is_told_once_when_there_is_room
        half_closed_clients_are_waited_for
        waiting_for_room_ends_with_a_reset
        half_closed_clients_get_their_answers;
    closing:
        a_closed_connection_is_not_named_again
        the_client_learns_that_it_was_closed
        a_new_connection_with_an_old_descriptor_gets_its_bytes
        a_detached_socket_keeps_its_bytes
        connections_come_and_go;
    foreign:
        readiness_is_told_until_it_is_consumed
        masks_can_be_changed
        a_hang_up_is_for_readers_and_writers
        regular_files_are_refused
        closed_descriptors_are_forgotten
        foreign_and_own_are_told_side_by_side;
    listening:
        a_queue_is_told_until_it_is_taken
        a_queue_is_left_alone_when_nobody_may_take
        the_kernel_may_take
        forgotten_listeners_are_silent;
    waiting:
        a_timeout_passes_in_full
        connections_at_rest_end_no_waits
        zero_only_looks
        another_thread_ends_an_endless_wait
        a_signal_ends_a_wait_without_events
        another_loop_can_watch_the_driver;
}
