//! The native engine as a Python module: converts and maps errors, decides nothing.

mod answers;
mod app;
mod client;
mod conduit;
mod doors;
mod flight;
mod http;
mod journal;
mod parsers;
mod places;
mod reactor;
mod request;
mod routing;
mod slot;
mod spare;
mod task;
mod tcp;
mod unlimited;
mod websocket;

use pyo3::prelude::*;

/// The module `rocket_sup.engine._native`.
#[pymodule(gil_used = true)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<request::Request>()?;
    module.add_class::<task::NativeTask>()?;
    module.add_class::<task::TaskRuntime>()?;
    module.add_class::<reactor::Reactor>()?;
    module.add_class::<http::Http>()?;
    module.add_class::<conduit::Conduit>()?;
    module.add_class::<tcp::Tcp>()?;
    module.add_class::<tcp::TcpConnection>()?;
    module.add_class::<websocket::Frames>()?;
    module.add_class::<websocket::Lane>()?;
    module.add_class::<websocket::Receive>()?;
    module.add_class::<websocket::Done>()?;
    module.add_function(wrap_pyfunction!(reactor::probe_uring, module)?)?;
    doors::register(module)?;
    parsers::register(module)?;
    routing::register(module)
}
