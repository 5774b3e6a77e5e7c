//! The probe where io_uring is forbidden, and what the other driver does where system calls are missing.
//!
//! A seccomp filter binds the thread that installs it and its children, so each test does it in a thread of its
//! own.

use std::io::Write;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use rocket_core::driver::epoll::Epoll;
use rocket_core::driver::probe::probe_uring;
use rocket_core::driver::{Driver, Receive};

/// Have one system call of this thread fail with an errno, for ever.
fn forbid(call: libc::c_long, errno: i32) {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let jump_if_equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let answer = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        // The number of the call is the first word of what a filter is given.
        step(load, 0, 0, 0),
        step(jump_if_equal, 0, 1, call as u32),
        step(answer, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        step(answer, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the kernel copies the program.
    unsafe {
        assert_eq!(0, libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        assert_eq!(0, libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program));
    }
}

/// What the probe says in a thread where a call fails.
fn probe_without(call: libc::c_long, errno: i32) -> String {
    let prober = thread::spawn(move || {
        forbid(call, errno);
        probe_uring()
    });
    prober.join().unwrap().unwrap_err()
}

#[test]
fn a_forbidden_ring_is_a_policy() {
    let reason = probe_without(libc::SYS_io_uring_setup, libc::EPERM);

    assert!(reason.contains("forbids io_uring") || reason.contains("switched off"), "{reason}");
}

#[test]
fn a_missing_ring_is_an_old_kernel_or_a_filter() {
    let reason = probe_without(libc::SYS_io_uring_setup, libc::ENOSYS);

    assert!(reason.contains("has no io_uring"), "{reason}");
}

#[test]
fn a_ring_without_buffer_rings_is_too_old() {
    if probe_uring().is_ok() {
        let reason = probe_without(libc::SYS_io_uring_register, libc::EINVAL);

        assert!(reason.contains("too old"), "{reason}");
    }
}

#[test]
fn a_ring_that_cannot_be_entered_does_not_work() {
    if probe_uring().is_ok() {
        let reason = probe_without(libc::SYS_io_uring_enter, libc::EPERM);

        assert!(reason.contains("forbids io_uring"), "{reason}");
    }
}

#[test]
fn epoll_works_without_nanoseconds() {
    let waiter = thread::spawn(|| {
        forbid(libc::SYS_epoll_pwait2, libc::ENOSYS);
        let mut driver = Epoll::new().unwrap();
        let mut events = Vec::new();
        let begin = Instant::now();
        driver.wait(Some(Duration::from_micros(1500)), &mut events).unwrap();
        assert!(
            begin.elapsed() >= Duration::from_micros(1500),
            "a deadline has passed when a wait for it ends"
        );
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (token, fd) = (1 << 32, ours.into_raw_fd());
        driver.attach(token, fd).unwrap();
        theirs.write_all(b"bytes").unwrap();
        while events.is_empty() {
            driver.wait(Some(Duration::from_secs(10)), &mut events).unwrap();
        }
        let Receive::Bytes(chunk) = driver.receive(token, fd) else { panic!("no bytes") };
        assert_eq!(b"bytes", &*chunk);
        driver.give_back(chunk);
        driver.close(token, fd);
    });
    waiter.join().unwrap();
}
