//! What the owner of a connection finds.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use rocket_core::tcp::{Input, News, Options, Output, Refusal, View};

use crate::bench::{Bench, Make, OPTIONS};

pub fn a_reader_takes_what_arrives_where_it_is(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    assert!(matches!(bench.input(), Input::Waits));
    bench.streams.await_input(bench.token);
    bench.client.write_all(b"hello world").unwrap();
    let told = bench.turn_with(|bench| assert_eq!(b"hello", &*bench.take(5)));

    assert!(told[0].has_input);
    assert_eq!(b" wor", &*bench.take(4));
    assert_eq!(b"ld", &*bench.take(100));
    assert!(matches!(bench.input(), Input::Waits));
}

pub fn what_nobody_takes_is_kept_and_nobody_is_told(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    bench.client.write_all(b"one").unwrap();
    assert!(bench.turn().is_empty());
    bench.streams.await_input(bench.token);
    bench.streams.forget_input(bench.token);
    bench.client.write_all(b"two").unwrap();
    assert!(bench.turn().is_empty());

    assert_eq!(b"onetwo", &*bench.take(100));
}

pub fn a_reader_that_was_told_and_does_not_take_loses_nothing(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    bench.streams.await_input(bench.token);
    bench.client.write_all(b"kept").unwrap();
    assert!(bench.turn()[0].has_input);

    assert_eq!(b"kept", &*bench.take(100));
}

pub fn nothing_is_received_while_too_much_is_unread(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    bench.client.write_all(&[1; 5000]).unwrap();
    bench.turn();
    bench.client.write_all(&[2; 10]).unwrap();
    let events = bench.events(Duration::from_millis(20));
    assert!(events.is_empty(), "{events:?}");

    assert_eq!([1; 4999], *bench.take(4999));
    bench.turn();
    assert_eq!([1, 2, 2], *bench.take(3));
}

pub fn a_view_lasts_and_is_collected_from_any_thread(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    let views = RefCell::new(Vec::new());
    for letter in [b'a', b'b', b'c'] {
        bench.streams.await_input(bench.token);
        bench.client.write_all(&[letter; 2000]).unwrap();
        bench.turn_with(|bench| views.borrow_mut().push(bench.streams.take_view(bench.token)));
    }
    let mut views = views.into_inner().into_iter();
    let (first, second, third) = (views.next().unwrap(), views.next().unwrap(), views.next().unwrap());

    assert_eq!(2, bench.streams.loans());
    assert!(matches!(&first, Input::Bytes(View::Lent(loan)) if **loan == [b'a'; 2000]));
    assert!(matches!(&second, Input::Bytes(View::Lent(loan)) if **loan == [b'b'; 2000]));
    assert!(
        matches!(&third, Input::Bytes(View::Own(copy)) if **copy == [b'c'; 2000]),
        "all that may be lent is"
    );
    let Input::Bytes(View::Lent(loan)) = first else { unreachable!() };
    thread::spawn(move || drop(loan)).join().unwrap();
    bench.streams.go_on(|_, _| {});
    assert_eq!(1, bench.streams.loans());
    drop(bench);
    assert!(
        matches!(&second, Input::Bytes(View::Lent(loan)) if **loan == [b'b'; 2000]),
        "the driver is gone"
    );
}

pub fn little_is_copied_rather_than_lent(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    bench.streams.await_input(bench.token);
    bench.client.write_all(b"little").unwrap();
    bench.turn_with(|bench| {
        let view = bench.streams.take_view(bench.token);
        assert!(matches!(view, Input::Bytes(View::Own(copy)) if copy == b"little"));
    });

    bench.client.write_all(b"and late").unwrap();
    bench.turn();
    assert_eq!(b"and", &*bench.take(3));
    assert!(
        matches!(bench.streams.take_view(bench.token), Input::Bytes(View::Own(rest)) if rest == b" late")
    );
}

pub fn after_the_clients_end_an_answer_can_be_sent(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    bench.streams.await_input(bench.token);
    bench.client.shutdown(Shutdown::Write).unwrap();
    assert!(bench.turn()[0].has_input);
    assert!(matches!(bench.input(), Input::End));
    bench.streams.stage(bench.token, b"bye").unwrap();
    assert_eq!(Output::Sent, bench.streams.flush(bench.token, &mut News::default()));
    let mut news = News::default();
    bench.streams.close(bench.token, &mut news);

    assert_eq!(Some("guest"), news.gone, "both ends are closed");
    assert_eq!(Ok(3), bench.client_reads());
}

pub fn our_end_leaves_behind_what_is_staged_and_the_client_may_go_on(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    bench.streams.stage(bench.token, b"last").unwrap();
    bench.streams.end(bench.token, &mut News::default()).unwrap();
    bench.streams.end(bench.token, &mut News::default()).unwrap();
    assert_eq!(Err(Refusal::Ended), bench.streams.stage(bench.token, b"more"));
    assert_eq!(Ok(4), bench.client_reads());
    bench.client.write_all(b"still here").unwrap();
    bench.turn();

    assert_eq!(b"still here", &*bench.take(100));
    assert!(bench.streams.is_open(bench.token));
}

pub fn a_flush_waits_for_the_client_and_is_told(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    let count = bench.fill();
    let mut client = bench.client.try_clone().unwrap();
    let reading = thread::spawn(move || client.read_exact(&mut vec![0; count]).unwrap());
    while !bench.turn().iter().any(|news| news.output == Some(Output::Sent)) {}
    reading.join().unwrap();

    assert_eq!(Output::Sent, bench.streams.flush(bench.token, &mut News::default()));
    bench.client.write_all(b"x").unwrap();
    bench.turn();
    assert_eq!(b"x", &*bench.take(1));
}

pub fn staged_bytes_leave_by_themselves(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    bench.streams.stage(bench.token, b"ab").unwrap();
    bench.streams.stage(bench.token, b"cd").unwrap();
    assert!(bench.streams.has_more());
    bench.streams.go_on(|_, _| {});
    assert!(!bench.streams.has_more());
    let mut got = [0; 4];
    bench.client.read_exact(&mut got).unwrap();

    assert_eq!(*b"abcd", got);
}

pub fn too_much_staged_is_refused_until_it_is_sent(make: Make) {
    let bench = Bench::new(make, Options { unsent: 10, ..OPTIONS });
    bench.streams.stage(bench.token, &[0; 1000]).unwrap();
    assert_eq!(Err(Refusal::Full(1000)), bench.streams.stage(bench.token, b"x"));
    assert_eq!(Output::Sent, bench.streams.flush(bench.token, &mut News::default()));

    assert_eq!(Ok(()), bench.streams.stage(bench.token, b"x"));
}
