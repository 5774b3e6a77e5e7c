//! Every phase and every event: what the connection does, also with what it has to refuse.

use rocket_core::http1::Phase::{self, Content, Fresh, Handler, Head, Idle, Lent, Linger};

use crate::app::BIG;
use crate::rig::{Rig, begun, get};

/// Bring a connection into a phase, at rest or with a client that takes nothing of an answer before.
fn in_phase(phase: Phase, is_blocked: bool) -> Rig {
    let mut rig = Rig::new();
    let begin = match phase {
        Fresh => Vec::new(),
        Idle => get("/"),
        Head => b"GET / HT".to_vec(),
        Content => begun("/echo", "content", 4),
        Handler => get("/wait"),
        Lent => get("/lend"),
        Linger => get("/close"),
    };
    if is_blocked {
        rig.room = 0;
        rig.bytes(&[get("/big"), begin].concat());
    } else if !begin.is_empty() {
        rig.bytes(&begin);
    }
    assert_eq!(phase, rig.phase());
    assert_eq!(is_blocked, rig.it().is_blocked());
    rig.read();
    rig.told();
    rig
}

/// Phase, what the client got, how it ended, whether it is read, and for how long it may stay like that.
fn outcome(rig: &mut Rig) -> String {
    let got = rig.read().replace(&".".repeat(BIG), "*").replace('\n', ";");
    let told = rig.told().join(", ");
    let stays = rig.connection.as_ref().map_or(String::new(), |connection| {
        let paused = if connection.is_reading { "" } else { " paused" };
        format!("{:?}{paused} {}", connection.phase, rig.left())
    });
    [stays, got, told].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" | ")
}

type Event = (&'static str, fn(&mut Rig));
const EVENTS: &[Event] = &[
    ("bytes", |rig| rig.bytes(&get("/x"))),
    ("the end", Rig::end),
    ("breakage", Rig::broken),
    ("a result", Rig::handled),
    ("a turn", Rig::turn_once),
    ("the deadline", Rig::wait),
    ("draining", Rig::drain),
    ("room for some", |rig| rig.take(1)),
    ("room for all", |rig| rig.take(1 << 20)),
];

/// A millisecond after it came there, with a client that takes everything.
const AT_REST: &[(Phase, &str, &str)] = &[
    (Fresh, "bytes", "Idle 40000 | 200 /x;"),
    (Fresh, "the end", "closed, closed 7"),
    (Fresh, "breakage", "cut, closed 7: Broken(104)"),
    (Fresh, "a result", "Fresh 9999"),
    (Fresh, "a turn", "Fresh 9999"),
    (Fresh, "the deadline", "closed, closed 7"),
    (Fresh, "draining", "Fresh 1000"),
    (Fresh, "room for some", "Fresh 9999"),
    (Fresh, "room for all", "Fresh 9999"),
    (Idle, "bytes", "Idle 40000 | 200 /x;"),
    (Idle, "the end", "closed, closed 7"),
    (Idle, "breakage", "cut, closed 7: Broken(104)"),
    (Idle, "a result", "Idle 39999"),
    (Idle, "a turn", "Idle 39999"),
    (Idle, "the deadline", "closed, closed 7"),
    (Idle, "draining", "closed, closed 7"),
    (Idle, "room for some", "Idle 39999"),
    (Idle, "room for all", "Idle 39999"),
    (Head, "bytes", "Linger 2000 | 400 - close; | half-closed"),
    (Head, "the end", "400 - close; | closed, closed 7: 400"),
    (Head, "breakage", "cut, closed 7: Broken(104)"),
    (Head, "a result", "Head 19999"),
    (Head, "a turn", "Head 19999"),
    (Head, "the deadline", "Linger 2000 | 408 - close; | half-closed"),
    (Head, "draining", "Head 19999"),
    (Head, "room for some", "Head 19999"),
    (Head, "room for all", "Head 19999"),
    (Content, "bytes", "Linger 2000 | 200 /echo [contGET];400 - close; | half-closed"),
    (Content, "the end", "400 /echo close; | closed, closed 7: 400"),
    (Content, "breakage", "cut, closed 7: Broken(104)"),
    (Content, "a result", "Content 29999"),
    (Content, "a turn", "Content 29999"),
    (Content, "the deadline", "Linger 2000 | 408 /echo close; | half-closed"),
    (Content, "draining", "Content 29999"),
    (Content, "room for some", "Content 29999"),
    (Content, "room for all", "Content 29999"),
    (Handler, "bytes", "Handler 59999"),
    (Handler, "the end", "Handler paused 59999"),
    (Handler, "breakage", "cut, closed 7 with /wait: Broken(104)"),
    (Handler, "a result", "Idle 40000 | 200 /wait;"),
    (Handler, "a turn", "Handler 59999"),
    (Handler, "the deadline", "Linger 2000 | 503 /wait close; | half-closed, given up /wait"),
    (Handler, "draining", "Handler 59999"),
    (Handler, "room for some", "Handler 59999"),
    (Handler, "room for all", "Handler 59999"),
    (Lent, "bytes", "Lent 59999"),
    (Lent, "the end", "Lent paused 59999 | left"),
    (Lent, "breakage", "cut, closed 7 with /lend: Broken(104)"),
    (Lent, "a result", "Idle 40000 | 200 /lend;"),
    (Lent, "a turn", "Lent 59999"),
    (Lent, "the deadline", "Linger 2000 | 503 /lend close; | half-closed, given up /lend"),
    (Lent, "draining", "Lent 59999"),
    (Lent, "room for some", "Lent 59999"),
    (Lent, "room for all", "Lent 59999"),
    (Linger, "bytes", "Linger 2000"),
    (Linger, "the end", "closed, closed 7"),
    (Linger, "breakage", "cut, closed 7: Broken(104)"),
    (Linger, "a result", "Linger 1999"),
    (Linger, "a turn", "Linger 1999"),
    (Linger, "the deadline", "cut, closed 7"),
    (Linger, "draining", "Linger 1999"),
    (Linger, "room for some", "Linger 1999"),
    (Linger, "room for all", "Linger 1999"),
];

/// The same with a client that has taken nothing; a connection that was just accepted owes it nothing.
const BLOCKED: &[(Phase, &str, &str)] = &[
    (Idle, "bytes", "Idle paused 49999"),
    (Idle, "the end", "Idle paused 49999"),
    (Idle, "breakage", "cut, closed 7: Broken(104)"),
    (Idle, "a result", "Idle paused 49999"),
    (Idle, "a turn", "Idle paused 49999"),
    (Idle, "the deadline", "cut, closed 7: Unread"),
    (Idle, "draining", "Idle paused 49999"),
    (Idle, "room for some", "Idle paused 49999 | ."),
    (Idle, "room for all", "Idle paused 40000 | *200 /big;200 /;"),
    (Head, "bytes", "Linger 49999"),
    (Head, "the end", "Linger paused 49999"),
    (Head, "breakage", "cut, closed 7: Broken(104)"),
    (Head, "a result", "Head paused 49999"),
    (Head, "a turn", "Head paused 49999"),
    (Head, "the deadline", "cut, closed 7: Unread"),
    (Head, "draining", "Head paused 49999"),
    (Head, "room for some", "Head paused 49999 | ."),
    (Head, "room for all", "Head paused 20000 | *200 /big;"),
    (Content, "bytes", "Linger 49999"),
    (Content, "the end", "Linger paused 49999"),
    (Content, "breakage", "cut, closed 7: Broken(104)"),
    (Content, "a result", "Content paused 49999"),
    (Content, "a turn", "Content paused 49999"),
    (Content, "the deadline", "cut, closed 7: Unread"),
    (Content, "draining", "Content paused 49999"),
    (Content, "room for some", "Content paused 49999 | ."),
    (Content, "room for all", "Content 30000 | *200 /big;"),
    (Handler, "bytes", "Handler paused 49999"),
    (Handler, "the end", "Handler paused 49999"),
    (Handler, "breakage", "cut, closed 7 with /wait: Broken(104)"),
    (Handler, "a result", "Idle paused 49999"),
    (Handler, "a turn", "Handler paused 49999"),
    (Handler, "the deadline", "cut, closed 7 with /wait: Unread"),
    (Handler, "draining", "Handler paused 49999"),
    (Handler, "room for some", "Handler paused 49999 | ."),
    (Handler, "room for all", "Handler 59999 | *200 /big;"),
    (Lent, "bytes", "Lent 49999"),
    (Lent, "the end", "Lent paused 49999 | left"),
    (Lent, "breakage", "cut, closed 7 with /lend: Broken(104)"),
    (Lent, "a result", "Idle paused 49999"),
    (Lent, "a turn", "Lent 49999"),
    (Lent, "the deadline", "cut, closed 7 with /lend: Unread"),
    (Lent, "draining", "Lent 49999"),
    (Lent, "room for some", "Lent 49999 | ."),
    (Lent, "room for all", "Lent 59999 | *200 /big;"),
    (Linger, "bytes", "Linger 49999"),
    (Linger, "the end", "Linger paused 49999"),
    (Linger, "breakage", "cut, closed 7: Broken(104)"),
    (Linger, "a result", "Linger 49999"),
    (Linger, "a turn", "Linger 49999"),
    (Linger, "the deadline", "cut, closed 7: Unread"),
    (Linger, "draining", "Linger 49999"),
    (Linger, "room for some", "Linger 49999 | ."),
    (Linger, "room for all", "Linger 2000 | *200 /big;200 /close close; | half-closed"),
];

#[test]
fn every_event_in_every_phase() {
    for (cells, is_blocked) in [(AT_REST, false), (BLOCKED, true)] {
        let mut phases = [Fresh, Idle, Head, Content, Handler, Lent, Linger].into_iter();
        if is_blocked {
            phases.next();
        }
        let wanted = phases.flat_map(|phase| EVENTS.iter().map(move |event| (phase, event)));
        assert_eq!(wanted.clone().count(), cells.len());
        for ((phase, (event, act)), cell) in wanted.zip(cells) {
            let mut rig = in_phase(phase, is_blocked);
            rig.pass(1);
            act(&mut rig);
            assert_eq!(*cell, (phase, *event, outcome(&mut rig).as_str()), "blocked: {is_blocked}");
        }
    }
}
