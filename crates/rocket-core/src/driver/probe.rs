//! Whether this kernel, in this container, under this policy, lets us use io_uring: found out by using it.

use std::fs;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::uring::{RingOptions, Uring};
use super::{Driver, Event, Receive, Token};

/// The kernel's own switch: 1 forbids all but privileged processes and a group, 2 everybody.
const SWITCH: &str = "/proc/sys/kernel/io_uring_disabled";

const MESSAGE: &[u8] = b"probe";

/// Receive by a small ring, from a socket of our own.
///
/// # Errors
/// Why it does not work, in words for the one who starts the server.
pub fn probe_uring() -> Result<(), String> {
    let options = RingOptions { entries: 8, buffers: 4, buffer_size: 64, batch: 8, ..RingOptions::default() };
    let mut driver = Uring::new(&options).map_err(|error| explain(&error))?;
    try_receive(&mut driver).map_err(|error| explain(&error))
}

/// Twice, so that the buffers are seen to come back.
fn try_receive(driver: &mut Uring) -> io::Result<()> {
    const TOKEN: Token = 1 << 32;
    let (ours, mut theirs) = UnixStream::pair()?;
    driver.attach(TOKEN, ours.as_raw_fd())?;
    let result = (0..2).try_for_each(|_| {
        theirs.write_all(MESSAGE)?;
        receive(driver, TOKEN, ours.as_raw_fd())
    });
    let rest = driver.detach(TOKEN, ours.as_raw_fd());
    debug_assert!(rest.is_empty() || result.is_err(), "more came than was sent");
    result
}

fn receive(driver: &mut Uring, token: Token, fd: i32) -> io::Result<()> {
    let mut events = Vec::new();
    // The bytes are there already. A wait may end without events a few times, but not for seconds.
    for _ in 0..10 {
        driver.wait(Some(Duration::from_secs(1)), &mut events)?;
        if let Some(Event::Readable(_)) = events.pop() {
            return match driver.receive(token, fd) {
                Receive::Bytes(chunk) => {
                    let is_right = &*chunk == MESSAGE;
                    driver.give_back(chunk);
                    if is_right { Ok(()) } else { Err(io::Error::other("other bytes than were sent")) }
                }
                Receive::Failed(errno) => Err(io::Error::from_raw_os_error(errno)),
                other => Err(io::Error::other(format!("{other:?}"))),
            };
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Why a ring could not be made.
fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => {
            "this kernel has no io_uring (Linux 5.1 brought it), or a seccomp filter hides it".to_owned()
        }
        Some(libc::EPERM | libc::EACCES) => match fs::read_to_string(SWITCH).as_deref().map(str::trim) {
            Ok(state @ ("1" | "2")) => {
                format!("io_uring is switched off: kernel.io_uring_disabled = {state}")
            }
            _ => "a policy forbids io_uring: a seccomp filter, as in most containers, or a security module"
                .to_owned(),
        },
        Some(libc::EINVAL) => {
            "this kernel's io_uring is too old: buffer rings and multishot receive need Linux 6.0".to_owned()
        }
        Some(libc::ENOMEM) => {
            "no memory for io_uring; kernels before 5.12 count it against RLIMIT_MEMLOCK (ulimit -l)"
                .to_owned()
        }
        _ => format!("io_uring does not work: {error}"),
    }
}
