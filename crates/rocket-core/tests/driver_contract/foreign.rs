//! Descriptors of somebody else: what Python's selectors promise.

use std::fs::File;
use std::io::{PipeReader, Read, Write, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rocket_core::driver::{Driver, Event, READ, WRITE};

use crate::rig::Rig;

const LONG: Duration = Duration::from_secs(30);

/// Masks told in one wait that finds something.
fn told(rig: &mut Rig<impl Driver>, fd: i32) -> Vec<u32> {
    for _ in 0..100 {
        let masks: Vec<u32> = rig
            .wait(LONG)
            .into_iter()
            .filter_map(|event| match event {
                Event::Foreign(told, mask) if told == fd => Some(mask),
                _ => None,
            })
            .collect();
        if !masks.is_empty() {
            return masks;
        }
    }
    panic!("nothing was told");
}

/// Whether a descriptor is told in any of the next waits.
fn is_silent(rig: &mut Rig<impl Driver>, fd: i32) -> bool {
    rig.foreign.clear();
    rig.settle();
    !rig.foreign.contains_key(&fd)
}

pub fn readiness_is_told_until_it_is_consumed(mut rig: Rig<impl Driver>) {
    let (mut reader, mut writer) = pipe().unwrap();
    let fd = reader.as_raw_fd();
    rig.driver.watch(fd, READ).unwrap();

    assert!(is_silent(&mut rig, fd));
    writer.write_all(b"ab").unwrap();
    for _ in 0..5 {
        assert_eq!(vec![READ], told(&mut rig, fd));
    }
    reader.read_exact(&mut [0; 1]).unwrap();
    assert_eq!(vec![READ], told(&mut rig, fd));
    reader.read_exact(&mut [0; 1]).unwrap();
    assert!(is_silent(&mut rig, fd));
    writer.write_all(b"c").unwrap();
    assert_eq!(vec![READ], told(&mut rig, fd));
}

pub fn masks_can_be_changed(mut rig: Rig<impl Driver>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let fd = ours.as_raw_fd();
    rig.driver.watch(fd, WRITE).unwrap();
    theirs.write_all(b"x").unwrap();

    assert_eq!(vec![WRITE], told(&mut rig, fd));
    rig.driver.watch(fd, READ).unwrap();
    assert_eq!(vec![READ], told(&mut rig, fd));
    rig.driver.watch(fd, READ | WRITE).unwrap();
    assert_eq!(vec![READ | WRITE], told(&mut rig, fd));
    rig.driver.unwatch(fd).unwrap();
    assert!(is_silent(&mut rig, fd));
    rig.driver.unwatch(fd).unwrap();
    rig.driver.watch(fd, WRITE).unwrap();
    assert_eq!(vec![WRITE], told(&mut rig, fd));
    assert_eq!(Some(libc::EINVAL), rig.driver.watch(fd, 0).unwrap_err().raw_os_error());
}

pub fn a_hang_up_is_for_readers_and_writers(mut rig: Rig<impl Driver>) {
    let (reader, writer) = pipe().unwrap();
    rig.driver.watch(reader.as_raw_fd(), READ).unwrap();
    drop(writer);
    assert_eq!(vec![READ], told(&mut rig, reader.as_raw_fd()));
    rig.driver.unwatch(reader.as_raw_fd()).unwrap();

    let (reader, writer) = pipe().unwrap();
    drop(reader);
    rig.driver.watch(writer.as_raw_fd(), READ).unwrap();
    assert_eq!(vec![READ], told(&mut rig, writer.as_raw_fd()));
    rig.driver.watch(writer.as_raw_fd(), WRITE).unwrap();
    assert_eq!(vec![WRITE], told(&mut rig, writer.as_raw_fd()));
}

pub fn regular_files_are_refused(mut rig: Rig<impl Driver>) {
    let file = File::open("/proc/self/exe").unwrap();

    let error = rig.driver.watch(file.as_raw_fd(), READ).unwrap_err();
    assert_eq!(Some(libc::EPERM), error.raw_os_error());
    assert_eq!(Some(libc::EBADF), rig.driver.watch(-1, READ).unwrap_err().raw_os_error());
    rig.driver.unwatch(file.as_raw_fd()).unwrap();
    rig.driver.unwatch(-1).unwrap();
}

pub fn closed_descriptors_are_forgotten(mut rig: Rig<impl Driver>) {
    let open = || -> (PipeReader, std::io::PipeWriter) { pipe().unwrap() };
    let (reader, mut writer) = open();
    let fd = reader.as_raw_fd();
    rig.driver.watch(fd, READ).unwrap();
    writer.write_all(b"x").unwrap();
    drop(reader);
    assert!(is_silent(&mut rig, fd));
    // Forgotten by its owner, and its number given to another.
    let (again, mut other_writer) = open();
    // SAFETY: the number was just closed, and is taken by nobody else but a parallel test at worst.
    let taken = unsafe { libc::fcntl(again.as_raw_fd(), libc::F_DUPFD_CLOEXEC, fd) };
    if taken == fd {
        rig.driver.watch(fd, READ).unwrap();
        other_writer.write_all(b"y").unwrap();
        assert_eq!(vec![READ], told(&mut rig, fd));
    }
    // SAFETY: ours since the call above.
    unsafe { libc::close(taken) };
    rig.driver.unwatch(fd).unwrap();
}

pub fn foreign_and_own_are_told_side_by_side(mut rig: Rig<impl Driver>) {
    let (reader, mut writer) = pipe().unwrap();
    let fd = reader.as_raw_fd();
    rig.driver.watch(fd, READ).unwrap();
    writer.write_all(b"x").unwrap();
    let (token, mut client) = rig.unix();
    for round in 1..=20 {
        client.write_all(b"0123456789").unwrap();
        // A descriptor that is always ready does not keep a connection's bytes back, nor the other way round.
        rig.foreign.clear();
        rig.until("both", |rig| rig.bytes(token).len() >= round * 10 && rig.foreign.contains_key(&fd));
    }
}
