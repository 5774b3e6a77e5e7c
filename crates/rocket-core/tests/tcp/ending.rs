//! How connections end: closed, cut, broken, too late.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use rocket_core::driver::Event;
use rocket_core::tcp::{Input, News, Output, Refusal};

use crate::bench::{Bench, Make, OPTIONS};

pub fn closed_it_still_sends_what_is_staged_then_waits_for_the_clients_end(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    let count = bench.fill();
    bench.streams.await_input(bench.token);
    let mut news = News::default();
    bench.streams.close(bench.token, &mut news);
    assert!(news.has_input, "whoever reads is told");
    assert!(matches!(bench.input(), Input::Closed));
    assert_eq!(Err(Refusal::Closed), bench.streams.stage(bench.token, b"x"));
    assert_eq!(Output::Closed, bench.streams.flush(bench.token, &mut News::default()));
    bench.client.write_all(&[0; 9000]).unwrap();
    let mut client = bench.client.try_clone().unwrap();
    let reading = thread::spawn(move || {
        let mut got = Vec::new();
        client.read_to_end(&mut got).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        got.len()
    });
    while !bench.streams.is_empty() {
        bench.turn();
    }

    assert_eq!(count, reading.join().unwrap());
}

pub fn a_client_that_never_ends_is_left_after_a_while(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    bench.streams.close(bench.token, &mut News::default());
    assert_eq!(Ok(0), bench.client_reads());
    assert!(bench.pass(1_900).is_empty());
    bench.client.write_all(b"noise").unwrap();
    bench.turn();
    bench.pass(1_900);
    assert_eq!(1, bench.streams.len(), "it is not silent");

    assert_eq!(Some("guest"), bench.pass(2_000).pop().unwrap().gone);
}

pub fn noise_does_not_hold_a_closed_connection_for_ever(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    bench.streams.close(bench.token, &mut News::default());
    let began = bench.now.get();
    while !bench.streams.is_empty() {
        bench.client.write_all(b"noise").unwrap();
        bench.turn();
        bench.pass(1_000);
    }

    let lasted = bench.now.get() - began;
    assert!((10_000..=11_000).contains(&lasted), "{lasted}");
}

pub fn what_a_closed_connections_client_does_not_take_is_cut_off(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    bench.fill();
    bench.streams.forget_input(bench.token);
    bench.streams.close(bench.token, &mut News::default());
    assert!(bench.pass(2_900).iter().all(|news| news.gone.is_none()));
    let gone = bench.pass(5_000);

    assert_eq!(Some("guest"), gone[0].gone);
    assert_eq!(Some(Output::Closed), gone[0].output);
    assert_eq!(Err(std::io::ErrorKind::ConnectionReset), bench.client_reads());
}

pub fn a_reader_is_told_that_it_is_late_and_can_go_on(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    bench.streams.await_input(bench.token);
    assert!(bench.pass(4_999).is_empty());
    assert!(bench.streams.next_deadline().is_some());
    let told = bench.pass(300);
    assert!(told[0].is_input_late && !told[0].has_input);
    assert!(bench.streams.has_timed_out(bench.token));
    bench.streams.await_input(bench.token);
    bench.client.write_all(b"now").unwrap();

    bench.turn_with(|bench| assert_eq!(b"now", &*bench.take(9)));
    assert!(bench.pass(60_000).iter().all(|news| !news.is_input_late), "nobody waits");
}

pub fn patience_can_be_changed(make: Make) {
    let bench = Bench::new(make, OPTIONS);
    bench.streams.set_idle(bench.token, 0);
    bench.streams.await_input(bench.token);

    assert_eq!(0, bench.streams.idle(bench.token));
    assert!(bench.pass(1_000_000).is_empty());
}

pub fn a_flush_is_late_only_when_nothing_is_taken(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    bench.streams.stage(bench.token, &vec![0; 64 << 20]).unwrap();
    assert_eq!(Output::Waits, bench.streams.flush(bench.token, &mut News::default()));
    bench.pass(4_000);
    // The kernel tells of room only when there is much.
    let mut is_taken = false;
    while !is_taken {
        bench.client.read_exact(&mut [0; 65536]).unwrap();
        for event in bench.events(Duration::ZERO) {
            let Event::Writable(token) = event else { panic!("{event:?}") };
            assert_eq!(None, bench.streams.on_writable(token).output, "there is more");
            is_taken = true;
        }
    }
    assert!(bench.pass(4_000).is_empty(), "some was taken meanwhile");

    assert_eq!(Some(Output::Late), bench.pass(1_500)[0].output);
}

pub fn an_abort_resets_and_tells_all_who_wait(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    bench.fill();
    bench.streams.await_input(bench.token);
    let mut news = News::default();
    bench.streams.abort(bench.token, &mut news);

    assert!(news.has_input);
    assert_eq!((Some(Output::Closed), Some("guest")), (news.output, news.gone));
    assert_eq!(Err(std::io::ErrorKind::ConnectionReset), bench.client_reads());
    assert!(matches!(bench.input(), Input::Closed));
}

pub fn a_reset_is_an_error_behind_the_bytes_that_came_before(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    bench.client.write_all(b"first").unwrap();
    bench.turn();
    // Unread bytes make the client's close a reset.
    bench.streams.stage(bench.token, b"unread").unwrap();
    assert_eq!(Output::Sent, bench.streams.flush(bench.token, &mut News::default()));
    bench.client.peek(&mut [0]).unwrap();
    bench.client =
        TcpStream::connect(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()).unwrap();
    bench.turn();

    assert_eq!(b"first", &*bench.take(100));
    assert!(matches!(bench.input(), Input::Broken(libc::ECONNRESET)));
    assert_eq!(Err(Refusal::Broken(libc::ECONNRESET)), bench.streams.stage(bench.token, b"x"));
    assert_eq!(Output::Broken(libc::ECONNRESET), bench.streams.flush(bench.token, &mut News::default()));
    let mut news = News::default();
    bench.streams.close(bench.token, &mut news);
    assert_eq!(Some("guest"), news.gone);
}

pub fn a_reset_wakes_all_who_wait(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    bench.fill();
    bench.streams.await_input(bench.token);
    bench.client.peek(&mut [0]).unwrap();
    bench.client =
        TcpStream::connect(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()).unwrap();
    let told = bench.turn();

    assert!(told[0].has_input);
    assert_eq!(Some(Output::Broken(libc::ECONNRESET)), told[0].output);
}

pub fn a_reset_is_seen_while_reading_rests(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    bench.client.write_all(&[0; 5000]).unwrap();
    bench.turn();
    bench.streams.stage(bench.token, b"unread").unwrap();
    assert_eq!(Output::Sent, bench.streams.flush(bench.token, &mut News::default()));
    bench.client.peek(&mut [0]).unwrap();
    bench.client =
        TcpStream::connect(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()).unwrap();
    bench.turn();

    // A driver that had received the error already has the socket say so of the next bytes only.
    let staged = bench.streams.stage(bench.token, b"x");
    let output = bench.streams.flush(bench.token, &mut News::default());
    assert!(matches!(staged, Ok(()) | Err(Refusal::Broken(_))) && matches!(output, Output::Broken(_)));
    assert_eq!(5000, bench.take(9999).len());
}

pub fn bytes_before_a_client_left_are_read_after_our_end(make: Make) {
    let mut bench = Bench::new(make, OPTIONS);
    bench.client.write_all(&[0; 5000]).unwrap();
    bench.turn();
    bench.streams.end(bench.token, &mut News::default()).unwrap();
    bench.client.write_all(&[1; 100]).unwrap();
    bench.client =
        TcpStream::connect(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()).unwrap();
    bench.may_turn();
    assert_eq!(5000, bench.take(9999).len());
    bench.turn();
    assert_eq!([1; 100], *bench.take(9999));
    bench.turn();

    assert!(matches!(bench.input(), Input::End));
}

pub fn a_connection_that_is_gone_answers_everything(make: Make) {
    let bench = Bench::new(make, OPTIONS);
    bench.streams.abort(bench.token, &mut News::default());
    let token = bench.token;
    let mut news = News::default();
    bench.streams.abort(token, &mut news);
    bench.streams.close(token, &mut news);
    bench.streams.await_input(token);
    bench.streams.set_idle(token, 1);

    assert!(matches!(bench.streams.take_view(token), Input::Closed));
    assert_eq!(Err(Refusal::Closed), bench.streams.end(token, &mut news));
    assert_eq!(Err(Refusal::Closed), bench.streams.stage(token, b"x"));
    assert_eq!(Output::Closed, bench.streams.flush(token, &mut news));
    assert!(!bench.streams.is_open(token) && !bench.streams.has_timed_out(token));
    assert_eq!(None, bench.streams.guest(token, |_| ()));
    assert!(bench.streams.is_empty() && bench.streams.tokens().is_empty());
    assert_eq!(0, bench.streams.idle(token));
}

pub fn what_cannot_be_watched_stays_the_callers(make: Make) {
    let bench = Bench::new(make, OPTIONS);

    assert!(bench.streams.open(-1, OPTIONS, "other").is_err());
    assert_eq!(1, bench.streams.len());
}
