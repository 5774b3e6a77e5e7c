//! Content on its way in.

use super::connection::{Connection, Phase};
use super::lease::DISCARDED_CONTENT;
use super::{App, Intake, Moment, Settings, Terms};
use crate::answer::CONTINUE;
use crate::chunked::Chunked;
use crate::fault::Fault;
use crate::head::{Content, Head};

/// A request whose content is being received; nobody wants the content when `asked` is None.
#[derive(Debug)]
pub struct Receiving<A> {
    /// The request.
    pub asked: Option<A>,
    /// How it is to be answered.
    pub terms: Terms,
    /// What came so far.
    pub content: Vec<u8>,
    /// Bytes announced; unknown with chunks.
    pub needed: u64,
    /// The decoder of chunks.
    pub chunks: Option<Chunked>,
    /// Milliseconds since when the client may send.
    pub started: u64,
}

impl<A> Receiving<A> {
    /// Take received bytes: how many belong to this content when it is whole, else None.
    ///
    /// # Errors
    /// The chunks are broken or too large.
    pub fn take(&mut self, data: &[u8]) -> Result<Option<usize>, Fault> {
        if let Some(chunks) = &mut self.chunks {
            return chunks.feed(data, &mut self.content);
        }
        let missing = self.needed as usize - self.content.len();
        let taken = missing.min(data.len());
        self.content.extend_from_slice(&data[..taken]);
        Ok((taken == missing).then_some(taken))
    }
}

impl<A: App> Connection<A> {
    /// Decide about a request that has content, or an expectation, and take what of its content is there: how
    /// many bytes belong to it.
    pub(super) fn begin_content(
        &mut self,
        data: &[u8],
        head: &Head,
        app: &A,
        settings: &Settings,
        at: Moment,
    ) -> usize {
        let length = match head.content {
            Content::None => Some(0),
            Content::Length(length) => Some(length),
            Content::Chunked => None,
        };
        // Content that nobody wants is read and forgotten if it is short and surely comes.
        let may_discard = length.is_some_and(|length| length <= DISCARDED_CONTENT) && !head.expects_continue;
        let mut terms =
            Terms { keep_alive: head.keep_alive && may_discard && !at.is_draining, started_ns: at.now_ns };
        let (asked, max_body) = match app.intake(&mut self.guest, data, head, terms, &mut self.output) {
            Intake::Wanted { asked, max_body } => {
                if length.is_some_and(|length| length > max_body) {
                    let fault = too_large(max_body);
                    self.refuse(&fault, Some(asked), app, at);
                    return data.len();
                }
                (Some(asked), max_body)
            }
            Intake::Answered { closes: true } => {
                self.close_with(at);
                return data.len();
            }
            Intake::Answered { closes: false } => (None, DISCARDED_CONTENT),
            Intake::Lent { asked, max_body } => {
                return self.lend((asked, max_body), data, head, app, settings, at);
            }
            Intake::Drop => {
                self.close_when_sent(at);
                return data.len();
            }
        };
        terms.keep_alive = head.keep_alive;
        let body = &data[head.end..];
        if let Some(length) = length
            && body.len() as u64 >= length
        {
            let content = &body[..length as usize];
            self.complete_content(asked, content, terms, app, settings, at);
            return head.end + content.len();
        }
        let mut receiving = Box::new(Receiving {
            asked,
            terms,
            content: Vec::new(),
            needed: length.unwrap_or(0),
            chunks: length.is_none().then(|| Chunked::new(&settings.limits, max_body)),
            started: at.now(),
        });
        self.phase = Phase::Content;
        self.deadline = at.after(settings.timeouts.body);
        if body.is_empty() {
            if head.expects_continue {
                self.output.extend_from_slice(CONTINUE);
            }
            self.receiving = Some(receiving);
            return head.end;
        }
        match receiving.take(body) {
            Ok(Some(taken)) => {
                let Receiving { asked, content, .. } = *receiving;
                self.complete_content(asked, &content, terms, app, settings, at);
                head.end + taken
            }
            Ok(None) => {
                self.receiving = Some(receiving);
                data.len()
            }
            Err(fault) => {
                self.receiving = Some(receiving);
                self.refuse(&fault, None, app, at);
                data.len()
            }
        }
    }

    /// Read so much more content that nobody wants.
    pub(super) fn forget_content(&mut self, left: u64, settings: &Settings, at: Moment) {
        self.phase = Phase::Content;
        self.deadline = at.after(settings.timeouts.body);
        self.is_reading = !self.is_half_closed;
        self.receiving = Some(Box::new(Receiving {
            asked: None,
            terms: Terms { keep_alive: true, started_ns: at.now_ns },
            content: Vec::new(),
            needed: left,
            chunks: None,
            started: at.now(),
        }));
    }

    pub(super) fn on_content(&mut self, data: &[u8], app: &A, settings: &Settings, at: Moment) {
        let Some(receiving) = &mut self.receiving else { return };
        let before = receiving.content.len();
        match receiving.take(data) {
            Err(fault) => self.refuse(&fault, None, app, at),
            Ok(None) => self.extend_content_deadline(before, settings, at),
            Ok(Some(taken)) => {
                if let Some(receiving) = self.receiving.take() {
                    let Receiving { asked, content, terms, .. } = *receiving;
                    let terms = Terms { started_ns: at.now_ns, ..terms };
                    self.complete_content(asked, &content, terms, app, settings, at);
                }
                if self.phase == Phase::Idle {
                    self.serve(&data[taken..], app, settings, at);
                } else {
                    self.settle(&data[taken..], false, app, settings, at);
                }
            }
        }
    }

    /// Content has `timeouts.body` to arrive, and longer only while it keeps the least rate.
    pub(super) fn extend_content_deadline(&mut self, before: usize, settings: &Settings, at: Moment) {
        let Some(receiving) = &self.receiving else { return };
        let received = receiving.content.len();
        if received == before || self.is_blocked() {
            return;
        }
        let timeouts = &settings.timeouts;
        let mut deadline = at.after(timeouts.body);
        if timeouts.body != 0
            && let Some(earned) = (received as u64 * 1_000).checked_div(timeouts.body_min_rate)
        {
            deadline = deadline.min(receiving.started + timeouts.body + earned);
        }
        self.deadline = deadline;
    }

    /// Run the handler of a request whose content is whole, or forget content that nobody wants.
    pub(super) fn complete_content(
        &mut self,
        asked: Option<A::Asked>,
        content: &[u8],
        terms: Terms,
        app: &A,
        settings: &Settings,
        at: Moment,
    ) {
        self.phase = Phase::Idle;
        let Some(asked) = asked else { return };
        let terms = Terms { keep_alive: terms.keep_alive && !at.is_draining, ..terms };
        let reply = app.answer_received(&mut self.guest, asked, content, terms, &mut self.output);
        self.on_reply(reply, terms, settings, at);
    }
}

pub(super) fn too_large(max_body: u64) -> Fault {
    Fault {
        status: 413,
        reason: format!("the content is larger than {max_body} bytes (RFC 9110 §15.5.14)").into(),
    }
}
