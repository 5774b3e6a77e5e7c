//! A small application without Python: its answers are lines that a test can read, and it remembers what it was
//! asked.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rocket_core::fault::Fault;
use rocket_core::head::{Head, Path};
use rocket_core::http1::{App, Finish, Intake, Lease, News, Reply, Terms, Why};

/// How much `/big` answers with, before its line.
pub const BIG: usize = 40_000;
/// With its line.
pub const BIG_ANSWER: usize = BIG + 9;
/// The most content that `/echo` and `/wait` take.
pub const MAX_BODY: u64 = 100;

/// Answers a line for each request: status, what was asked, and whether the connection goes on.
///
/// `GET /wait` and `POST /wait` have handlers that wait; `/close` ends the connection after its answer, `/drop`
/// without one; `/lend` is lent; content is wanted by `/echo` and `/wait` and by nobody else.
#[derive(Default)]
pub struct Lines {
    /// Monotonic nanoseconds, as the test says.
    pub now_ns: Cell<u64>,
    /// Added to the time by each answer.
    pub handler_ns: Cell<u64>,
    /// What happened besides answers.
    pub story: RefCell<Vec<String>>,
    /// Bytes received and sent.
    pub counted: Cell<(usize, usize)>,
    /// What was lent, in order.
    pub leases: RefCell<Vec<Rc<Lease>>>,
    /// What the handler of `/errand` does.
    pub errand: RefCell<Option<Box<dyn FnOnce()>>>,
}

/// A request whose content is still to come.
pub struct Asked {
    path: String,
}

/// A handler that waits.
pub struct Waits {
    pub path: String,
}

impl Lines {
    /// At a moment.
    pub fn at(now_ms: u64) -> Self {
        let app = Self::default();
        app.now_ns.set(now_ms * 1_000_000);
        app
    }

    /// What happened since the last call.
    pub fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.story.borrow_mut())
    }

    fn note(&self, what: String) {
        self.story.borrow_mut().push(what);
    }

    fn lend_out(&self, path: &str, lease: &Rc<Lease>) -> Reply<Waits> {
        lease.attach(&mut |_| panic!("nothing can have happened"));
        self.leases.borrow_mut().push(Rc::clone(lease));
        Reply::Lent(Waits { path: path.to_owned() }, Rc::clone(lease))
    }

    /// What the shell of a lease would hear.
    pub fn hear(&self, news: &News<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.note(match news {
            News::Content(content) if content.len() > 100 => format!("content of {}", content.len()),
            News::Content(content) => format!("content {}", text(content)),
            News::End(trailers) => format!("end {}", text(trailers).trim()).trim().to_owned(),
            News::Failed(fault) => format!("failed {}", fault.status),
            News::Room => "room".to_owned(),
            News::Left => "left".to_owned(),
        });
    }

    fn write(&self, output: &mut Vec<u8>, status: u16, text: &str, closes: bool) {
        self.now_ns.set(self.now_ns.get() + self.handler_ns.get());
        let line = format!("{status} {text}{}\n", if closes { " close" } else { "" });
        output.extend_from_slice(line.as_bytes());
    }

    fn respond(&self, path: &str, text: &str, terms: Terms, output: &mut Vec<u8>) -> Reply<Waits> {
        match path {
            "/lend" => return self.lend_out(path, &Rc::new(Lease::whole(terms.started_ns))),
            "/wait" => return Reply::Later(Waits { path: format!("{path}{text}") }),
            "/drop" => return Reply::Drop,
            "/errand" => {
                let errand = self.errand.borrow_mut().take();
                errand.expect("there is an errand")();
            }
            "/big" => output.resize(output.len() + BIG, b'.'),
            _ => {}
        }
        let closes = !terms.keep_alive || path == "/close";
        self.write(output, 200, &format!("{path}{text}"), closes);
        Reply::Done { closes }
    }
}

fn path_of(data: &[u8], head: &Head) -> String {
    let Path::Sent(span) = head.path else { panic!("no test asks for {:?}", head.path) };
    String::from_utf8_lossy(span.of(data)).into_owned()
}

/// What a handler that waited gives, for `Connection::on_handled`.
pub fn done(app: &Lines) -> impl FnOnce(&mut u32, Waits, Terms, &mut Vec<u8>) -> Reply<Waits> + '_ {
    |_, waits, terms, output| {
        app.write(output, 200, &waits.path, !terms.keep_alive);
        Reply::Done { closes: !terms.keep_alive }
    }
}

impl App for Lines {
    type Guest = u32;
    type Asked = Asked;
    type Running = Waits;

    fn answer(&self, _: &mut u32, data: &[u8], head: &Head, terms: Terms, out: &mut Vec<u8>) -> Reply<Waits> {
        self.respond(&path_of(data, head), "", terms, out)
    }

    fn intake(
        &self,
        _guest: &mut u32,
        data: &[u8],
        head: &Head,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Intake<Asked> {
        let path = path_of(data, head);
        match path.as_str() {
            _ if head.unmet_expectation => {
                self.write(output, 417, &path, !terms.keep_alive);
                Intake::Answered { closes: !terms.keep_alive }
            }
            "/echo" | "/wait" => Intake::Wanted { asked: Asked { path }, max_body: MAX_BODY },
            "/lend" => Intake::Lent { asked: Asked { path }, max_body: MAX_BODY },
            "/drop" => Intake::Drop,
            _ => {
                self.write(output, 405, &path, !terms.keep_alive);
                Intake::Answered { closes: !terms.keep_alive }
            }
        }
    }

    fn answer_received(
        &self,
        _guest: &mut u32,
        asked: Asked,
        content: &[u8],
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Waits> {
        let text = format!(" [{}]", String::from_utf8_lossy(content));
        self.respond(&asked.path, &text, terms, output)
    }

    fn lend(&self, _: &mut u32, asked: Asked, lease: &Rc<Lease>, _: Terms, _: &mut Vec<u8>) -> Reply<Waits> {
        self.lend_out(&asked.path, lease)
    }

    fn tell(&self, _: &Waits, news: News<'_>) {
        self.hear(&news);
    }

    fn finished(&self, _: &mut u32, running: Waits, _: &Lease, finish: Finish, terms: Terms) -> bool {
        self.note(format!("finished {} {} {}", running.path, finish.status, finish.content_bytes));
        !(terms.keep_alive && finish.keep_alive)
    }

    fn refuse(
        &self,
        _guest: &mut u32,
        fault: &Fault,
        asked: Option<Asked>,
        terms: Terms,
        output: &mut Vec<u8>,
    ) {
        assert!(!terms.keep_alive);
        let path = asked.map_or("-".to_owned(), |asked| asked.path);
        self.write(output, fault.status, &path, true);
    }

    fn give_up(&self, _guest: &mut u32, running: Waits, _started_ns: u64, output: &mut Vec<u8>) {
        self.write(output, 503, &running.path, true);
        self.note(format!("given up {}", running.path));
    }

    fn closed(&self, guest: u32, running: Option<Waits>, why: Option<&Why>) {
        let running = running.map_or(String::new(), |waits| format!(" with {}", waits.path));
        let why = match why {
            None => String::new(),
            Some(Why::Fault(fault)) => format!(": {}", fault.status),
            Some(why) => format!(": {why:?}"),
        };
        self.note(format!("closed {guest}{running}{why}"));
    }

    fn count_bytes(&self, received: usize, sent: usize) {
        let (all_received, all_sent) = self.counted.get();
        self.counted.set((all_received + received, all_sent + sent));
    }

    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }
}
