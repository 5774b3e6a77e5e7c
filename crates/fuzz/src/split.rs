//! Whole connections: the requests that an application is asked are the same however their bytes arrive.
//!
//! The connection is the real one (`rocket_core::http1`), with an application that writes down what it is asked,
//! and a shell that sends everything at once and never looks at a clock.

use std::rc::Rc;

use rocket_core::fault::Fault;
use rocket_core::head::{Head, Path};
use rocket_core::http1::{
    After, App, Connection, Finish, Intake, Lease, Moment, News, Reply, Settings, Terms, Timeouts, Why,
};

use crate::input::Input;

const MAX_BODY: u64 = 100;
const AT: Moment = Moment { now_ns: 0, is_draining: false };
const FOR_EVER: Timeouts =
    Timeouts { first_byte: 0, head: 0, body: 0, body_min_rate: 0, idle: 0, write: 0, handler: 0 };

/// Panics when something does not hold.
pub fn check(input: &[u8]) {
    let input = Input::new(input);
    let whole = serve(&input, std::iter::once(input.data));
    assert_eq!(whole, serve(&input, input.pieces()));
    assert_eq!(whole, serve(&input, input.data.chunks(1)), "byte by byte");
}

/// What happened on one connection.
#[derive(Debug, Default, PartialEq, Eq)]
struct Story {
    /// What was asked, in order.
    asked: Vec<Asked>,
    /// The client was told that it is at fault. Which fault is told may depend on what had arrived.
    is_refused: bool,
    /// The connection ended.
    is_closed: bool,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    line: Vec<u8>,
    path: Vec<u8>,
    fields: Vec<u8>,
    keep_alive: bool,
    /// None when nobody waited for it.
    content: Option<Vec<u8>>,
}

impl Asked {
    fn new(data: &[u8], head: &Head) -> Self {
        let path = match head.path {
            Path::Sent(span) => span.of(data),
            Path::Root => b"/",
            Path::Asterisk => b"*",
        };
        Self {
            line: [head.method.of(data), head.target.of(data)].join(&b' '),
            path: path.to_vec(),
            fields: head.fields.of(data).to_vec(),
            keep_alive: head.keep_alive,
            content: None,
        }
    }
}

/// Answers everything; some later, some without their content.
struct Recorder;

impl Recorder {
    fn reply(story: &mut Story, asked: Asked, terms: Terms, output: &mut Vec<u8>) -> Reply<()> {
        let is_later = asked.path.contains(&b'l');
        story.asked.push(asked);
        if is_later {
            return Reply::Later(());
        }
        output.extend_from_slice(b"answer");
        Reply::Done { closes: !terms.keep_alive }
    }
}

impl App for Recorder {
    type Guest = Story;
    type Asked = Asked;
    type Running = ();

    fn answer(
        &self,
        story: &mut Story,
        data: &[u8],
        head: &Head,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<()> {
        Self::reply(story, Asked::new(data, head), terms, output)
    }

    fn intake(
        &self,
        story: &mut Story,
        data: &[u8],
        head: &Head,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Intake<Asked> {
        let asked = Asked::new(data, head);
        if asked.path.contains(&b'd') {
            return Intake::Drop;
        }
        if head.unmet_expectation || asked.path.contains(&b'u') {
            story.asked.push(asked);
            output.extend_from_slice(b"unwanted");
            return Intake::Answered { closes: !terms.keep_alive };
        }
        Intake::Wanted { asked, max_body: MAX_BODY }
    }

    fn answer_received(
        &self,
        story: &mut Story,
        asked: Asked,
        content: &[u8],
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<()> {
        assert!(content.len() as u64 <= MAX_BODY);
        Self::reply(story, Asked { content: Some(content.to_vec()), ..asked }, terms, output)
    }

    fn lend(&self, _: &mut Story, _: Asked, _: &Rc<Lease>, _: Terms, _: &mut Vec<u8>) -> Reply<()> {
        unreachable!("nothing is lent");
    }

    fn tell(&self, (): &(), _: News<'_>) {}

    fn finished(&self, _: &mut Story, (): (), _: &Lease, _: Finish, _: Terms) -> bool {
        true
    }

    fn refuse(&self, story: &mut Story, fault: &Fault, _: Option<Asked>, _: Terms, output: &mut Vec<u8>) {
        assert!(!story.is_refused, "once is enough");
        assert!((400..600).contains(&fault.status));
        story.is_refused = true;
        output.extend_from_slice(b"refusal");
    }

    fn give_up(&self, _: &mut Story, (): (), _: u64, _: &mut Vec<u8>) {
        unreachable!("nobody looks at a clock");
    }

    fn closed(&self, _: Story, _: Option<()>, _: Option<&Why>) {}

    fn count_bytes(&self, _: usize, _: usize) {}

    fn now_ns(&self) -> u64 {
        0
    }
}

/// Serve one connection to its end, or to the end of what is sent.
fn serve<'a>(input: &Input<'_>, pieces: impl Iterator<Item = &'a [u8]>) -> Story {
    let settings = Settings { limits: input.limits, timeouts: FOR_EVER, pipeline: 3 };
    let mut connection = Connection::<Recorder>::new(0, Story::default(), &settings, AT);
    for piece in pieces {
        connection.on_bytes(piece, &Recorder, &settings, AT);
        settle(&mut connection, &settings);
        if connection.after != After::Stay {
            break;
        }
    }
    connection.guest.is_closed = connection.after != After::Stay;
    connection.guest
}

/// Do what the shell does between two pieces: send, let handlers finish, and go on.
fn settle(connection: &mut Connection<Recorder>, settings: &Settings) {
    loop {
        connection.output.clear();
        if connection.is_waiting() {
            connection.on_handled(settings, AT, |_, (), terms, _| Reply::Done { closes: !terms.keep_alive });
        } else if connection.has_more {
            connection.go_on(&Recorder, settings, AT);
        } else {
            return;
        }
    }
}
