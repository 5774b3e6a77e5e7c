//! What comes for a borrower: decoded where it is wanted, in order, and held until then.
//!
//! There is one way, `pump`. Whoever is told of something may want, or not want, more in the same moment; so each
//! step looks again.

use std::mem;

use super::connection::CONTENT_CUT;
use super::lease::{Framing, Lease, News};
use crate::answer::CONTINUE;
use crate::fault::Fault;

impl Lease {
    /// Somebody is there to be told: nothing was before.
    pub fn attach(&self, tell: &mut dyn FnMut(News<'_>)) {
        self.has_borrower.set(true);
        self.pump(&[], tell);
    }

    /// Have content delivered: what is held, at once.
    pub fn resume(&self, tell: &mut dyn FnMut(News<'_>)) {
        if self.is_over() || self.is_wanted.replace(true) {
            return;
        }
        self.was_wanted.set(true);
        if self.is_awaited.get() {
            let has_come = !self.incoming.borrow().held.is_empty();
            if !has_come && !self.is_begun.get() {
                self.staged.borrow_mut().extend_from_slice(CONTINUE);
            }
            self.is_awaited.set(!has_come && self.is_begun.get());
        }
        self.pump(&[], tell);
    }

    /// Have no more content delivered.
    pub fn pause(&self) {
        self.is_wanted.set(false);
    }

    /// Deliver what is held, then `data`, as long as it is wanted; hold the rest.
    pub(super) fn pump(&self, data: &[u8], tell: &mut dyn FnMut(News<'_>)) {
        if self.is_pumping.replace(true) {
            self.incoming.borrow_mut().held.extend_from_slice(data);
            return;
        }
        let mut held = mem::take(&mut self.incoming.borrow_mut().held);
        let bytes = if held.is_empty() {
            data
        } else {
            held.extend_from_slice(data);
            &held
        };
        let mut position = 0;
        while self.is_delivering() {
            match self.next(&bytes[position..]) {
                Step::Content(taken) => {
                    let piece = &bytes[position..position + taken];
                    position += taken;
                    self.delivered.set(self.delivered.get() + taken as u64);
                    tell(News::Content(piece));
                }
                Step::Decoded(content, taken) => {
                    position += taken;
                    self.delivered.set(self.delivered.get() + taken as u64);
                    if !content.is_empty() {
                        tell(News::Content(&content));
                    }
                }
                Step::End(trailers) => tell(News::End(&trailers)),
                Step::Failed(fault) => {
                    position = bytes.len();
                    tell(News::Failed(&fault));
                }
                Step::Nothing => break,
            }
        }
        let rest = &bytes[position..];
        let kept = if position == 0 && !held.is_empty() { held } else { rest.to_vec() };
        self.incoming.borrow_mut().held = kept;
        self.is_pumping.set(false);
        if self.is_left_due() {
            self.is_left_told.set(true);
            tell(News::Left);
        }
    }

    /// The borrower takes what there is; the end of content that he has taken, in any case.
    fn is_delivering(&self) -> bool {
        if self.is_over() || !self.has_borrower.get() {
            return false;
        }
        let is_whole = matches!(self.incoming.borrow().framing, Framing::Whole);
        let is_end_due = is_whole && !self.is_end_told.get() && !self.is_upgraded.get();
        self.is_wanted.get() || self.was_wanted.get() && is_end_due
    }

    /// The client has closed its side, and not behind requests that wait for answers; what belongs to this exchange
    /// has come.
    fn is_left_due(&self) -> bool {
        if self.is_left_told.get() || !self.is_half_closed.get() || self.is_over() || !self.has_borrower.get()
        {
            return false;
        }
        let incoming = self.incoming.borrow();
        match incoming.framing {
            Framing::Whole => incoming.held.is_empty(),
            Framing::Length(left) => left == incoming.held.len() as u64,
            Framing::Chunks(_) | Framing::Broken(_) => false,
        }
    }

    /// What comes next of received bytes.
    fn next(&self, bytes: &[u8]) -> Step {
        let mut incoming = self.incoming.borrow_mut();
        match &mut incoming.framing {
            Framing::Whole if self.is_upgraded.get() => {
                if bytes.is_empty() {
                    Step::Nothing
                } else {
                    Step::Content(bytes.len())
                }
            }
            Framing::Whole if self.is_end_told.replace(true) => Step::Nothing,
            Framing::Whole => Step::End(mem::take(&mut incoming.trailers)),
            Framing::Broken(fault) if !self.is_fault_told.replace(true) => Step::Failed(fault.clone()),
            Framing::Broken(_) => Step::Nothing,
            Framing::Length(_) | Framing::Chunks(_) if bytes.is_empty() => {
                if !self.is_half_closed.get() {
                    return Step::Nothing;
                }
                incoming.framing = Framing::Broken(CONTENT_CUT);
                self.is_fault_told.set(true);
                Step::Failed(CONTENT_CUT)
            }
            Framing::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                if *left == 0 {
                    incoming.framing = Framing::Whole;
                }
                Step::Content(taken)
            }
            Framing::Chunks(chunks) => {
                let mut content = Vec::new();
                match chunks.feed(bytes, &mut content) {
                    Ok(None) => Step::Decoded(content, bytes.len()),
                    Ok(Some(taken)) => {
                        incoming.trailers = chunks.take_trailers();
                        incoming.framing = Framing::Whole;
                        Step::Decoded(content, taken)
                    }
                    Err(fault) => {
                        incoming.framing = Framing::Broken(fault.clone());
                        self.is_fault_told.set(true);
                        Step::Failed(fault)
                    }
                }
            }
        }
    }
}

/// What comes next of received bytes.
enum Step {
    /// So many of them, as they are.
    Content(usize),
    /// This was encoded in so many of them.
    Decoded(Vec<u8>, usize),
    /// The content has ended, with these trailers.
    End(Vec<u8>),
    /// The content is broken.
    Failed(Fault),
    /// Nothing for now.
    Nothing,
}
