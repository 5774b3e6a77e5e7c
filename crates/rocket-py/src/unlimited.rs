//! Functions of CPython that the limited API of 3.11 leaves out.
//!
//! The module is built against the limited API, so that one file serves every version from 3.11 on. Entering
//! a context and calling without a tuple of arguments are not part of it before 3.12, or not at all, yet every
//! CPython from 3.11 to 3.14 exports these functions with these signatures, and documents them. They are
//! worth the exception: a context is entered and left in less than 10 ns, against about 100 through
//! `Context.run`, once per request.
//!
//! The module is linked with immediate binding: an interpreter without one of them refuses to load it, which
//! is an `ImportError` that names the function.

use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use std::ffi::c_int;

unsafe extern "C" {
    fn PyContext_Copy(context: *mut PyObject) -> *mut PyObject;
    fn PyContext_CopyCurrent() -> *mut PyObject;
    fn PyContext_Enter(context: *mut PyObject) -> c_int;
    fn PyContext_Exit(context: *mut PyObject) -> c_int;
    fn PyObject_Vectorcall(
        callable: *mut PyObject,
        arguments: *const *mut PyObject,
        count: usize,
        keywords: *mut PyObject,
    ) -> *mut PyObject;
    fn PyObject_VectorcallMethod(
        name: *mut PyObject,
        arguments: *const *mut PyObject,
        count: usize,
        keywords: *mut PyObject,
    ) -> *mut PyObject;
}

/// Copy a context, in constant time.
///
/// # Errors
/// `TypeError`: it is none.
pub fn copy_context<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the token shows that this thread is attached; the argument is a live object, and is checked.
    unsafe { Bound::from_owned_ptr_or_err(context.py(), PyContext_Copy(context.as_ptr())) }
}

/// Copy the context that is entered.
///
/// # Errors
/// `MemoryError`.
pub fn copy_current_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the token shows that this thread is attached.
    unsafe { Bound::from_owned_ptr_or_err(py, PyContext_CopyCurrent()) }
}

/// Do something inside a context.
///
/// # Errors
/// `RuntimeError`: it is entered already, and nothing was done.
pub fn in_context<T>(context: &Bound<'_, PyAny>, act: impl FnOnce() -> T) -> PyResult<T> {
    // SAFETY: this thread is attached; the argument is a live object, and is checked.
    if unsafe { PyContext_Enter(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(context.py()));
    }
    let leaving = Leaving(context);
    let came = act();
    drop(leaving);
    Ok(came)
}

/// Leaves a context, also when a panic passes through.
struct Leaving<'a, 'py>(&'a Bound<'py, PyAny>);

impl Drop for Leaving<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: this thread is attached and has entered the context, which is alive.
        if unsafe { PyContext_Exit(self.0.as_ptr()) } < 0 {
            // Whoever entered another one has not left it. There is nobody to tell but the unraisable hook.
            PyErr::fetch(self.0.py()).write_unraisable(self.0.py(), Some(self.0));
        }
    }
}

/// Call something with positional arguments, the last of which may have names.
///
/// # Errors
/// Whatever the call raises.
pub fn call<'py, const N: usize>(
    callable: &Bound<'py, PyAny>,
    arguments: [&Bound<'py, PyAny>; N],
    names: Option<&Bound<'py, PyTuple>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (pointers, count, names) = lay_out(arguments, names);
    // SAFETY: this thread is attached; `count` positional arguments and one for each name are alive.
    unsafe {
        let returned = PyObject_Vectorcall(callable.as_ptr(), pointers.as_ptr(), count, names);
        Bound::from_owned_ptr_or_err(callable.py(), returned)
    }
}

/// Call a method of the first argument with the others, the last of which may have names.
///
/// # Errors
/// Whatever the call raises.
pub fn call_method<'py, const N: usize>(
    name: &Bound<'py, PyString>,
    arguments: [&Bound<'py, PyAny>; N],
    names: Option<&Bound<'py, PyTuple>>,
) -> PyResult<Bound<'py, PyAny>> {
    const { assert!(N > 0) };
    let (pointers, count, names) = lay_out(arguments, names);
    // SAFETY: this thread is attached; `count` positional arguments, the object first, and one for each name
    // are alive.
    unsafe {
        let returned = PyObject_VectorcallMethod(name.as_ptr(), pointers.as_ptr(), count, names);
        Bound::from_owned_ptr_or_err(name.py(), returned)
    }
}

/// Arguments as the interpreter wants them: pointers, how many of them have no name, and the names.
fn lay_out<'py, const N: usize>(
    arguments: [&Bound<'py, PyAny>; N],
    names: Option<&Bound<'py, PyTuple>>,
) -> ([*mut PyObject; N], usize, *mut PyObject) {
    let named = names.map_or(0, |names| names.len());
    assert!(named <= N);
    (
        arguments.map(|each| each.as_ptr()),
        N - named,
        names.map_or(std::ptr::null_mut(), |names| names.as_ptr()),
    )
}
