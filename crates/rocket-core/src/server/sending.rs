//! The way out: bytes as far as the socket takes them, and files that never come into our memory.

use std::io;
use std::os::fd::RawFd;

use super::Server;
use crate::driver::Token;
use crate::http1::{After, App, Connection, Part};

/// Of a file in one turn: what a fast client takes in less time than handlers need.
const MOST_OF_A_FILE: u64 = 1 << 20;

impl<A: App> Server<A> {
    pub(super) fn send(&self, token: Token, connection: &mut Connection<A>) {
        let at = self.moment();
        let taken = match self.driver.borrow_mut().send(connection.fd, connection.unsent()) {
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return connection.on_broken(error.raw_os_error().unwrap_or(0)),
        };
        self.app.count_bytes(0, taken);
        let own = connection.own.clone();
        connection.on_sent(taken, self.settings_of(&own), at);
        if !connection.output.is_empty() {
            self.driver.borrow_mut().want_write(token, connection.fd);
        }
    }

    /// Send what a borrower wants sent of a file, and tell him if there is room.
    #[inline(never)]
    pub(super) fn serve_borrower(&self, token: Token, connection: &mut Connection<A>) {
        if connection.output.is_empty()
            && let Some(part) = connection.part()
        {
            self.send_part(token, connection, part);
            if connection.is_touched() {
                self.touched.borrow_mut().push(token);
            }
        }
        if connection.after != After::Abort {
            connection.tell_room(&self.app);
        }
    }

    /// Send so much of a file as the socket takes, within bounds: others want to be served too.
    fn send_part(&self, token: Token, connection: &mut Connection<A>, part: Part) {
        let at = self.moment();
        let most = part.left.min(MOST_OF_A_FILE) as usize;
        let mut taken = 0;
        while taken < most {
            match sendfile(connection.fd, part.fd, part.offset + taken as u64, most - taken) {
                Ok(0) => return connection.on_short_file(),
                Ok(sent) => taken += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return connection.on_broken(error.raw_os_error().unwrap_or(libc::EIO)),
            }
        }
        self.app.count_bytes(0, taken);
        let own = connection.own.clone();
        connection.on_part_sent(taken as u64, self.settings_of(&own), at);
        if connection.part().is_some() {
            self.driver.borrow_mut().want_write(token, connection.fd);
        }
    }
}

/// Send a part of a file: bytes the socket has taken; zero at the end of the file.
fn sendfile(socket: RawFd, file: RawFd, offset: u64, count: usize) -> io::Result<usize> {
    let mut offset = offset.cast_signed();
    loop {
        // SAFETY: the kernel reads and writes one number, to which a valid pointer is given.
        let sent = unsafe { libc::sendfile64(socket, file, &raw mut offset, count) };
        if sent >= 0 {
            return Ok(sent.cast_unsigned());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
