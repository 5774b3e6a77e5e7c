//! Receive buffers that all connections of a ring share. The kernel takes one when bytes come, not before.
//!
//! The kernel reads a ring of buffer descriptions that we write: entries, then a counter of how many there are
//! by now, which stands in unused bytes of the first entry. Received buffers of one connection form a list
//! through the buffers' numbers, so that no memory is taken for it.

use std::io;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// The number of our one group of buffers, in the ring's own name space.
pub(super) const GROUP: u16 = 0;

/// Ends a list of buffers.
pub(super) const NONE: u16 = u16::MAX;

/// The most that the kernel accepts.
const MOST: u32 = 1 << 15;

/// A mapping of zeroed memory that is not copied into forked children: the kernel writes to the very pages.
struct Mapping {
    start: *mut u8,
    length: usize,
}

impl Mapping {
    fn new(length: usize) -> io::Result<Self> {
        // SAFETY: a new mapping touches no other memory.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mapping = Self { start: start.cast(), length };
        // SAFETY: the range is the mapping just made.
        if unsafe { libc::madvise(start, length, libc::MADV_DONTFORK) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(mapping)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by `new`; whoever drops it has made sure that nothing points into it.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
}

/// The buffers.
pub(super) struct Buffers {
    /// The descriptions, shared with the kernel.
    entries: Mapping,
    /// The bytes.
    memory: ManuallyDrop<Mapping>,
    count: u16,
    size: u32,
    /// Buffers ever given to the kernel, as it counts them.
    tail: u16,
    /// Buffers that the kernel has, as far as we know: it may have filled some already.
    free: usize,
    /// Of each received buffer, the next one of the same connection.
    next: Box<[u16]>,
    /// Of each received buffer, its bytes.
    lengths: Box<[u32]>,
}

impl Buffers {
    /// Make them, and give them all to the kernel.
    ///
    /// # Errors
    /// No memory, impossible numbers, or a kernel before 5.19 (EINVAL).
    pub(super) fn new(submitter: &Submitter<'_>, count: u32, size: u32) -> io::Result<Self> {
        if count == 0 || count > MOST || size == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("1 to {MOST} buffers of at least one byte, not {count} of {size}"),
            ));
        }
        let count = count.next_power_of_two() as u16;
        let entries = Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let memory = ManuallyDrop::new(Mapping::new(usize::from(count) * size as usize)?);
        // SAFETY: the mapping begins at a page, has that many entries, and lives as long as the ring: `Uring`
        // drops the ring first.
        unsafe { submitter.register_buf_ring_with_flags(entries.start as u64, count, GROUP, 0)? };
        let mut buffers = Self {
            entries,
            memory,
            count,
            size,
            tail: 0,
            free: 0,
            next: vec![NONE; usize::from(count)].into(),
            lengths: vec![0; usize::from(count)].into(),
        };
        for buffer in 0..count {
            buffers.give(buffer);
        }
        Ok(buffers)
    }

    /// Give a buffer to the kernel, which may write into it from now on.
    pub(super) fn give(&mut self, buffer: u16) {
        debug_assert!(buffer < self.count && self.free < usize::from(self.count), "a buffer given twice");
        if cfg!(debug_assertions) {
            // Whoever reads what he gave back is found out.
            // SAFETY: the buffer is ours until it is in the ring.
            unsafe { self.start(buffer).cast_mut().write_bytes(0xdd, self.size as usize) };
        }
        let first: *mut BufRingEntry = self.entries.start.cast();
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: `index` is below the number of entries. The kernel reads this entry only when the counter says
        // that it is there. The counter is aligned and shared with the kernel, which only reads it. The setters
        // leave it alone, though it is within the first entry.
        unsafe {
            let entry = &mut *first.add(index);
            entry.set_addr(self.start(buffer) as u64);
            entry.set_len(self.size);
            entry.set_bid(buffer);
            self.tail = self.tail.wrapping_add(1);
            let counter = AtomicU16::from_ptr(BufRingEntry::tail(first).cast_mut());
            counter.store(self.tail, Ordering::Release);
        }
        self.free += 1;
    }

    /// The kernel filled a buffer.
    pub(super) fn on_received(&mut self, buffer: u16, length: u32) {
        self.free = self.free.saturating_sub(1);
        self.next[usize::from(buffer)] = NONE;
        self.lengths[usize::from(buffer)] = length;
    }

    /// Buffers that the kernel has, as far as we know.
    pub(super) fn free(&self) -> usize {
        self.free
    }

    /// The first byte of a buffer.
    pub(super) fn start(&self, buffer: u16) -> *const u8 {
        // SAFETY: the kernel names only buffers that it was given, which are within the mapping.
        unsafe { self.memory.start.add(usize::from(buffer) * self.size as usize) }
    }

    /// The bytes received into a buffer.
    pub(super) fn length(&self, buffer: u16) -> usize {
        self.lengths[usize::from(buffer)] as usize
    }

    /// The buffer after this one in its list.
    pub(super) fn next(&self, buffer: u16) -> u16 {
        self.next[usize::from(buffer)]
    }

    /// Append to a list whose last buffer this is.
    pub(super) fn link(&mut self, last: u16, buffer: u16) {
        self.next[usize::from(last)] = buffer;
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // A chunk that is still out keeps its memory: a leak harms less than reading what was unmapped.
        if self.free == usize::from(self.count) {
            // SAFETY: it is not used again.
            unsafe { ManuallyDrop::drop(&mut self.memory) };
        }
    }
}
