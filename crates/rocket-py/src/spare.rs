//! Objects of a class of ours that nobody has any more, to be filled again instead of allocated.

use std::cell::UnsafeCell;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::{PyClass, PyClassInitializer, PyTraverseError, PyVisit, ffi};

/// Plain handlers need one object; more only come back when many coroutines end in one batch.
const MAX: usize = 64;

/// Spare objects of one class.
pub struct Spare<T> {
    objects: UnsafeCell<Vec<Py<T>>>,
    /// Where in an object lie the pointers to its attributes and to its weak references.
    offsets: PyOnceLock<Option<[isize; 2]>>,
}

// SAFETY: whoever looks at `objects` holds the GIL; adding to them and taking from them runs no other code.
unsafe impl<T> Sync for Spare<T> {}

impl<T: PyClass> Spare<T> {
    /// None yet.
    pub const fn new() -> Self {
        Self { objects: UnsafeCell::new(Vec::new()), offsets: PyOnceLock::new() }
    }

    /// One that nobody else has, if there is one.
    pub fn take<'py>(&self, py: Python<'py>) -> Option<Bound<'py, T>> {
        self.take_if(py, |object| self.is_alone(object))
    }

    /// One that is still fit, if there is one: the garbage collector lists every object, and could have shown it
    /// to a debugger.
    pub fn take_if<'py>(
        &self,
        py: Python<'py>,
        is_fit: impl FnOnce(&Bound<'py, T>) -> bool,
    ) -> Option<Bound<'py, T>> {
        // SAFETY: as said at `Sync`.
        let object = unsafe { (*self.objects.get()).pop() }?.into_bound(py);
        is_fit(&object).then_some(object)
    }

    /// Keep one that is alone and was emptied; drop it if there are enough.
    pub fn keep(&self, object: Bound<'_, T>) {
        // SAFETY: as said at `Sync`; the borrow is over before an object too many is dropped.
        let kept = unsafe { &mut *self.objects.get() };
        if kept.len() < MAX {
            kept.push(object.unbind());
        }
    }

    /// Give all of them up; whoever drops them may run any Python code.
    pub fn empty(&self) -> Vec<Py<T>> {
        // SAFETY: as said at `Sync`; nothing is dropped in here.
        std::mem::take(unsafe { &mut *self.objects.get() })
    }

    /// Show them to the garbage collector: where the keeper is itself kept by what it keeps.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: as said at `Sync`; the collector holds the GIL and only counts.
        unsafe { &*self.objects.get() }.iter().try_for_each(|object| visit.call(object))
    }

    /// Say whether nobody else has the object, a weak reference to it, or attributes in it.
    pub fn is_alone(&self, object: &Bound<'_, T>) -> bool {
        self.is_held_once(object) && self.extra(object, 1).is_some_and(|first| first.is_null())
    }

    /// Say whether nobody else has the object or attributes in it.
    pub fn is_held_once(&self, object: &Bound<'_, T>) -> bool {
        let Some(dict) = self.extra(object, 0) else { return false };
        // SAFETY: both are alive, the one by the other; the GIL is held, and nothing is changed.
        unsafe {
            ffi::Py_REFCNT(object.as_ptr()) == 1
                && (dict.is_null() || (ffi::Py_REFCNT(dict) == 1 && ffi::PyDict_Size(dict) == 0))
        }
    }

    /// The dictionary of an object's attributes (0) or the first weak reference to it (1); null if there is none,
    /// None if that cannot be told.
    fn extra(&self, object: &Bound<'_, T>, which: usize) -> Option<*mut ffi::PyObject> {
        let py = object.py();
        let offsets = self.offsets.get_or_init(py, || {
            let offset = |name| py.get_type::<T>().getattr(name).and_then(|offset| offset.extract()).ok();
            Some([offset("__dictoffset__")?, offset("__weakrefoffset__")?])
        });
        match offsets.as_ref()?[which] {
            0 => Some(std::ptr::null_mut()),
            offset => {
                let place = object.as_ptr().wrapping_byte_offset(offset).cast::<*mut ffi::PyObject>();
                // SAFETY: the type says that its instances have a pointer there, and this one is alive.
                Some(unsafe { place.read() })
            }
        }
    }
}

/// Make an object that the garbage collector knows, with the collector off meanwhile.
///
/// The interpreter lists a new object before there is anything in it. CPython 3.11 then makes the dictionary of its
/// attributes, which may begin a collection, and that would be shown null where a class has a reference that is
/// always there.
///
/// # Errors
/// Python has no memory.
pub fn make<T>(py: Python<'_>, value: impl Into<PyClassInitializer<T>>) -> PyResult<Bound<'_, T>>
where
    T: PyClass,
{
    // SAFETY: `py` says that the GIL is held, and it is not given away until both are done.
    let was_on = unsafe { ffi::PyGC_Disable() };
    let object = Bound::new(py, value);
    if was_on == 1 {
        // SAFETY: as above.
        unsafe { ffi::PyGC_Enable() };
    }
    object
}

impl<T: PyClass> Default for Spare<T> {
    fn default() -> Self {
        Self::new()
    }
}
