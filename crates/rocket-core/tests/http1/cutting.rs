//! However the bytes are cut, whenever handlers end and whatever a client takes at once: the answers are the same,
//! and no connection goes from a phase into one that does not follow.

use rocket_core::http1::Phase::{self, Content, Fresh, Handler, Head, Idle, Lent, Linger};

use crate::app::BIG;
use crate::rig::{Rig, begun, chunked, get, post, settings};

/// As `rocket_sup/phases.py` lists them, but that a handler that waited always leaves an idle connection, or none.
const FOLLOWS: &[(Phase, &[Phase])] = &[
    (Fresh, &[Idle, Head, Content, Handler, Lent, Linger]),
    (Idle, &[Idle, Head, Content, Handler, Lent, Linger]),
    (Head, &[Idle, Content, Handler, Lent, Linger]),
    (Content, &[Idle, Head, Handler, Lent, Linger]),
    (Handler, &[Idle, Linger]),
    (Lent, &[Idle, Content, Linger]),
    (Linger, &[]),
];

/// Requests after which the connection goes on.
fn usual() -> Vec<Vec<u8>> {
    vec![
        get("/"),
        post("/echo", "content"),
        get("/wait"),
        chunked("/echo", "3;a=b\r\nabc\r\n1\r\nd\r\n0\r\nX: 1\r\n\r\n"),
        post("/nobody", "forgotten"),
        b"\r\nGET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_vec(),
        post("/wait", "waits"),
        get("/lend"),
        post("/lend", "unread"),
        post("/echo", ""),
        b"GET /odd HTTP/1.1\r\nHost: a\r\nExpect: much\r\n\r\n".to_vec(),
    ]
}

/// What a connection ends with, for this reason or that.
fn last() -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        get("/close"),
        get("/drop"),
        post("/drop", "never read"),
        post("/nobody", &"x".repeat(70_000)),
        chunked("/nobody", "0\r\n\r\n"),
        chunked("/echo", "zzz\r\n"),
        chunked("/echo", &format!("65\r\n{}\r\n0\r\n\r\n", "x".repeat(101))),
        post("/echo", &"x".repeat(101)),
        begun("/wait", "cut", 1),
        begun("/lend", "cut", 1),
        chunked("/lend", "0\r\n\r\n"),
        b"GET / HTTP/1.0\r\n\r\n".to_vec(),
        b"GET /wait HTTP/1.0\r\n\r\n".to_vec(),
        b"GET / HT".to_vec(),
        b"\r\n".to_vec(),
        b"nonsense\r\n\r\n".to_vec(),
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(1000)).into_bytes(),
    ]
}

/// When things happen that the client does not see.
#[derive(Clone, Copy)]
struct Course {
    /// Bytes that the client takes at once.
    room: usize,
    /// Handlers wait as long as they can.
    is_late: bool,
    pipeline: usize,
}

const USUAL: Course = Course { room: usize::MAX, is_late: false, pipeline: 4 };

/// Let one thing happen besides bytes; false when there is nothing.
fn progress(rig: &mut Rig, course: Course) -> bool {
    let Some(connection) = &rig.connection else { return false };
    if connection.has_more {
        rig.turn_once();
    } else if connection.is_blocked() {
        rig.take(course.room);
    } else if connection.is_waiting() {
        rig.handled();
    } else {
        return false;
    }
    true
}

/// Send pieces, then end: all that the client got, and how the connection ended.
fn answers<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, course: Course) -> (String, String) {
    let mut rig = Rig::with(settings(|settings| settings.pipeline = course.pipeline));
    rig.room = course.room;
    for piece in pieces {
        let mut is_taken = rig.offer(piece);
        while !is_taken && progress(&mut rig, course) {
            is_taken = rig.offer(piece);
        }
        while !course.is_late && progress(&mut rig, course) {}
    }
    while !course.is_late && progress(&mut rig, course) {}
    if rig.connection.is_some() {
        rig.end();
    }
    while progress(&mut rig, course) {}
    for pair in rig.phases.windows(2) {
        let (_, allowed) = FOLLOWS.iter().find(|(phase, _)| *phase == pair[0]).unwrap();
        assert!(allowed.contains(&pair[1]), "{pair:?}");
    }
    let ended = rig.told().last().cloned().unwrap_or_default();
    (rig.read().replace(&".".repeat(BIG), "*"), ended)
}

#[test]
fn any_request_may_be_cut_twice() {
    for request in usual().into_iter().chain(last()) {
        let expected = answers([&request[..]], USUAL);
        let firsts = if request.len() < 75 { request.len() } else { 1 };
        for first in 0..firsts {
            for second in (first..request.len()).step_by(3).take(500) {
                let pieces = [&request[..first], &request[first..second], &request[second..]];
                let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
                assert_eq!(expected, answers(pieces, USUAL), "{first}, {second}: {request:?}");
            }
        }
    }
}

#[test]
fn any_session_may_come_in_pieces_of_any_size() {
    for last in last() {
        let session = [usual().concat(), usual().concat(), last].concat();
        let expected = answers([&session[..]], USUAL);
        for size in (1..40).chain([100, 1000]) {
            for is_late in [false, true] {
                let course = Course { is_late, ..USUAL };
                assert_eq!(expected, answers(session.chunks(size), course), "in pieces of {size}");
            }
        }
    }
}

#[test]
fn a_client_may_take_the_answers_in_pieces_of_any_size() {
    let mut session = usual();
    session.insert(1, get("/big"));
    session.insert(4, get("/big"));
    for last in last() {
        let session = [session.concat(), last].concat();
        let expected = answers([&session[..]], USUAL);
        assert_eq!(2, expected.0.matches('*').count());
        for room in [1_000, 7_919, BIG, BIG + 20] {
            for (size, is_late) in [(1, true), (10, false), (100, true), (10_000, false)] {
                let course = Course { room, is_late, ..USUAL };
                assert_eq!(expected, answers(session.chunks(size), course), "{room}, in pieces of {size}");
            }
        }
    }
}

#[test]
fn the_size_of_a_batch_changes_nothing() {
    for last in last() {
        let session = [usual().concat(), usual().concat(), last].concat();
        let expected = answers([&session[..]], USUAL);
        for pipeline in [1, 2, 3, 100] {
            for size in [50, 10_000] {
                let course = Course { pipeline, ..USUAL };
                assert_eq!(expected, answers(session.chunks(size), course), "{pipeline} in a batch");
            }
        }
    }
}

#[test]
fn the_sessions_take_every_step_there_is() {
    let mut taken = Vec::new();
    for request in usual().into_iter().chain(last()) {
        for before in [Vec::new(), get("/"), get("/wait"), post("/echo", "content")] {
            for size in [1, 10, 56, 10_000] {
                let session = [before.clone(), request.clone()].concat();
                let mut rig = Rig::new();
                for piece in session.chunks(size) {
                    rig.offer(piece);
                    rig.turn();
                }
                while progress(&mut rig, USUAL) {}
                taken.extend(rig.phases.windows(2).map(|pair| (pair[0], pair[1])));
            }
        }
    }
    let all = FOLLOWS.iter().flat_map(|(from, to)| to.iter().map(move |to| (*from, *to)));
    let missing: Vec<_> = all.filter(|step| step.0 != step.1 && !taken.contains(step)).collect();

    assert!(missing.is_empty(), "{missing:?}");
}
