//! The ring itself: opening it the best way the kernel allows, submitting, waiting.

use std::io;
use std::time::{Duration, Instant};

use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{Builder, EnterFlags, IoUring, cqueue, squeue};

/// Completions for each submission there is room for. One armed receive makes many, and a completion queue that
/// runs over costs memory and a system call.
const COMPLETIONS: u32 = 4;

/// The kernel takes submissions at once or after completions were taken; it never needs this long.
const STUCK: Duration = Duration::from_secs(10);

/// How a ring is made.
#[derive(Clone, Debug)]
pub struct RingOptions {
    /// Submissions there is room for between two system calls; rounded up to a power of two.
    pub entries: u32,
    /// Bytes of one receive buffer.
    pub buffer_size: u32,
    /// Receive buffers that all connections share; rounded up to a power of two, at most 32768.
    pub buffers: u32,
    /// Completions taken in one wait.
    pub batch: usize,
    /// Promise the kernel that one thread uses the ring, which lets it leave out locks and interruptions.
    pub single_issuer: bool,
    /// Have a kernel thread look for submissions, so that none needs a system call. It takes a whole processor.
    pub sqpoll: bool,
    /// The processor of that thread; None leaves it to the kernel.
    pub sqpoll_cpu: Option<u32>,
    /// Milliseconds without work after which that thread sleeps.
    pub sqpoll_idle_ms: u32,
}

impl Default for RingOptions {
    fn default() -> Self {
        Self {
            entries: 512,
            buffer_size: 8 * 1024,
            buffers: 256,
            batch: 512,
            single_issuer: true,
            sqpoll: false,
            sqpoll_cpu: None,
            sqpoll_idle_ms: 100,
        }
    }
}

/// Submissions go in, completions come out.
pub(super) struct Ring {
    ring: IoUring,
    /// Completions that had to be taken out of turn, to make room.
    stash: Vec<cqueue::Entry>,
    is_polled: bool,
    /// The kernel has refused to take submissions, and not for the moment only.
    is_dead: bool,
}

/// Whether it is worth to try again: a signal came, completions have to be taken first, memory was short.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN))
}

impl Ring {
    /// Make one.
    ///
    /// # Errors
    /// As of `io_uring_setup`.
    pub(super) fn open(options: &RingOptions) -> io::Result<Self> {
        let mut builder = IoUring::builder();
        // A forked child has no business with this ring, and must not write into it by accident.
        builder.dontfork().setup_clamp().setup_submit_all();
        builder.setup_cqsize(options.entries.saturating_mul(COMPLETIONS));
        let ring = if options.sqpoll {
            builder.setup_sqpoll(options.sqpoll_idle_ms);
            if let Some(cpu) = options.sqpoll_cpu {
                builder.setup_sqpoll_cpu(cpu);
            }
            builder.build(options.entries)?
        } else {
            Self::open_unpolled(&builder, options)?
        };
        Ok(Self { ring, stash: Vec::new(), is_polled: options.sqpoll, is_dead: false })
    }

    /// The kernel's work is done when we ask for it (Linux 6.1), or at our next system call (5.19), or at once by
    /// interrupting us.
    fn open_unpolled(builder: &Builder, options: &RingOptions) -> io::Result<IoUring> {
        let mut deferred = builder.clone();
        deferred.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
        let mut cooperative = builder.clone();
        cooperative.setup_coop_taskrun().setup_taskrun_flag();
        let first = if options.single_issuer { Some(&deferred) } else { None };
        for better in first.into_iter().chain([&cooperative]) {
            match better.build(options.entries) {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                other => return other,
            }
        }
        builder.build(options.entries)
    }

    /// For what is registered with the ring.
    pub(super) fn submitter(&self) -> io_uring::Submitter<'_> {
        self.ring.submitter()
    }

    /// Put a submission into the queue; it is taken at the next `enter` or `flush`.
    ///
    /// # Safety
    /// What the submission points to is valid until it completes.
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: as promised by the caller.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.flush();
            if self.is_dead {
                return;
            }
        }
    }

    /// Have the kernel take everything that is in the queue. If it refuses for good, it will not take it later
    /// either, and `enter` says so.
    ///
    /// # Panics
    /// It takes nothing and does not say why. Going on would be worse: a submission names its descriptor by
    /// number, and once that number is given to another connection, would take bytes that are not its own.
    pub(super) fn flush(&mut self) {
        let mut stuck_at = None;
        while !self.is_dead && !self.ring.submission().is_empty() {
            let taken = self.ring.submit();
            if self.ring.submission().is_empty() {
                return;
            }
            self.is_dead = taken.is_err_and(|error| !is_passing(&error));
            let stuck_at = *stuck_at.get_or_insert_with(|| Instant::now() + STUCK);
            assert!(Instant::now() < stuck_at, "the kernel takes no submissions");
            // No room for completions is the one reason that we can remove.
            self.stash.extend(self.ring.completion());
            std::thread::yield_now();
        }
    }

    /// Submit, and wait for a completion; zero only looks, None waits for ever.
    ///
    /// # Errors
    /// As of `io_uring_enter`, except interruption, the end of the time, and a lack of memory or room that ends
    /// when completions are taken.
    pub(super) fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let is_looking = timeout.is_some_and(|timeout| timeout.is_zero());
        let queue = self.ring.submission();
        let submitted = queue.len();
        let is_due = queue.taskrun() || queue.cq_overflow();
        let mut flags = EnterFlags::GETEVENTS;
        let mut is_needed = submitted > 0;
        if self.is_polled {
            is_needed = queue.need_wakeup();
            if is_needed {
                flags |= EnterFlags::SQ_WAKEUP;
            }
        }
        drop(queue);
        if is_looking && !is_needed && !is_due {
            return Ok(());
        }
        let wanted = u32::from(!is_looking);
        let submitter = self.ring.submitter();
        let result = match timeout.filter(|_| !is_looking) {
            None => {
                // SAFETY: no memory is handed over.
                unsafe { submitter.enter::<libc::sigset_t>(submitted as u32, wanted, flags.bits(), None) }
            }
            Some(timeout) => {
                // Thirty years are for ever, and do not run over in any kernel.
                let timeout = Timespec::from(timeout.min(Duration::from_secs(1_000_000_000)));
                let arguments = SubmitArgs::new().timespec(&timeout);
                flags |= EnterFlags::EXT_ARG;
                // SAFETY: the kernel reads the arguments, which live longer than the call.
                unsafe { submitter.enter(submitted as u32, wanted, flags.bits(), Some(&arguments)) }
            }
        };
        match result {
            Err(error) if error.raw_os_error() == Some(libc::ETIME) || is_passing(&error) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Whether `take` would find something.
    pub(super) fn has_completions(&mut self) -> bool {
        !self.stash.is_empty() || !self.ring.completion().is_empty()
    }

    /// Take completions, the oldest first, at most so many.
    pub(super) fn take(&mut self, most: usize, completed: &mut Vec<cqueue::Entry>) {
        let stashed = most.min(self.stash.len());
        completed.extend(self.stash.drain(..stashed));
        completed.extend(self.ring.completion().take(most - stashed));
    }

    /// End everything that is under way, so that no socket is held any longer.
    pub(super) fn cancel_all(&mut self) {
        // Nothing left to cancel, a kernel without this call (before 6.0), or a forked child that may not use the
        // ring: the kernel ends what is left soon after the ring's descriptor is closed.
        if self.ring.submitter().register_sync_cancel(None, CancelBuilder::any()).is_ok() {
            let _ = self.enter(Some(Duration::ZERO));
        }
    }
}
