//! Listening sockets from which the kernel may take connections by itself.

use std::os::fd::RawFd;

use io_uring::{opcode, squeue, types};

use super::ACCEPT;
use crate::driver::Event;

struct Listener {
    name: u32,
    fd: RawFd,
    /// Tells this listener's accept from that of an earlier one with the same name.
    serial: u32,
    is_taking: bool,
    is_armed: bool,
}

impl Listener {
    fn accept_name(&self) -> u64 {
        ACCEPT | u64::from(self.serial & 0x0fff_ffff) << 32 | u64::from(self.name)
    }
}

/// A handful of them.
#[derive(Default)]
pub(super) struct Listeners {
    list: Vec<Listener>,
    serial: u32,
}

impl Listeners {
    /// Know one more.
    pub(super) fn add(&mut self, name: u32, fd: RawFd) {
        self.serial = self.serial.wrapping_add(1);
        self.list.push(Listener { name, fd, serial: self.serial, is_taking: false, is_armed: false });
    }

    /// Let the kernel take connections or not; the name of an accept that has to be cancelled.
    pub(super) fn set_taking(&mut self, name: u32, is_taking: bool) -> Option<u64> {
        let found = self.list.iter_mut().find(|each| each.name == name)?;
        found.is_taking = is_taking;
        (found.is_armed && !is_taking).then(|| found.accept_name())
    }

    /// Forget one; the name of an accept that has to be cancelled.
    pub(super) fn remove(&mut self, name: u32) -> Option<u64> {
        let index = self.list.iter().position(|each| each.name == name)?;
        let found = self.list.swap_remove(index);
        found.is_armed.then(|| found.accept_name())
    }

    /// Whether `arm` would find one.
    pub(super) fn is_any_due(&self) -> bool {
        self.list.iter().any(|each| each.is_taking && !each.is_armed)
    }

    /// A submission for one whose accept is not under way but should be.
    pub(super) fn arm(&mut self) -> Option<squeue::Entry> {
        let found = self.list.iter_mut().find(|each| each.is_taking && !each.is_armed)?;
        found.is_armed = true;
        let accept = opcode::AcceptMulti::new(types::Fd(found.fd)).flags(libc::SOCK_CLOEXEC).build();
        Some(accept.user_data(found.accept_name()))
    }

    /// Something was accepted or refused. A connection is told of even when its listener is gone: nobody else
    /// would close it.
    pub(super) fn on_accepted(&mut self, accept_name: u64, result: i32, is_over: bool) -> Option<Event> {
        let listener = accept_name as u32;
        let found = self.list.iter_mut().find(|each| each.accept_name() == accept_name);
        let is_failure = result < 0
            && !matches!(-result, libc::ECANCELED | libc::ECONNABORTED | libc::EINTR | libc::EAGAIN);
        if let Some(found) = found {
            found.is_armed &= !is_over;
            found.is_taking &= !is_failure;
        }
        if result >= 0 {
            Some(Event::Accepted { listener, connection: Ok(result) })
        } else {
            is_failure.then_some(Event::Accepted { listener, connection: Err(-result) })
        }
    }

    /// Whether an accept that could not be cancelled is still under way and unwanted.
    pub(super) fn is_unwanted(&self, accept_name: u64) -> bool {
        self.list.iter().any(|each| each.accept_name() == accept_name && each.is_armed && !each.is_taking)
    }
}
