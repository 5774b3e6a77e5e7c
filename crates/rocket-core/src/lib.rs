//! The native engine without Python: sockets, HTTP/1.1, routes, logs.
//!
//! What decides is a machine and does no I/O (`head`, `chunked`, `http1`, `router`, `wheel`); what does I/O
//! decides nothing (`driver`). `rocket-py` puts the two together and calls Python.

pub mod accept;
pub mod accesslog;
pub mod answer;
pub mod chunked;
pub mod clock;
mod controls;
pub mod date;
pub mod decimal;
pub mod driver;
pub mod fault;
mod fold;
pub mod head;
pub mod http1;
pub mod limits;
mod octets;
pub mod pattern;
pub mod percent;
pub mod places;
pub mod router;
pub mod scoreboard;
pub mod server;
pub mod slab;
pub mod statistics;
pub mod tcp;
pub mod websocket;
pub mod wheel;

#[cfg(test)]
mod testing;
