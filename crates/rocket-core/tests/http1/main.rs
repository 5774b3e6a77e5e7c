//! The machine of one HTTP/1.1 connection, without sockets: a test is a list of events.

mod app;
mod cells;
mod content;
mod cutting;
mod deadlines;
mod ending;
mod holding;
mod lending;
mod rig;
