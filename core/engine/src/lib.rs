//! The connection core of Longlink: sockets, framing, timers and queues; no Python.
//!
//! The contract is core/BOUNDARY.md. Each folder is a layer: `engine` the caller's side and what it shares with the threads,
//! `thread` the loop, `connection` what happens to one of them, `topics` to many, `tls` and `wire` what bytes mean, `time`
//! when. `load` is the other end, for `longlink bench`. Read next: `engine.rs`, `thread.rs`.

mod connection;
mod engine;
mod load;
mod thread;
mod time;
mod tls;
mod topics;
pub mod wire;

pub use engine::bounds::Delivery;
pub use engine::ident::ConnId;
pub use engine::ring::{Batch, Event, EventKind};
pub use engine::settings::Settings;
pub use engine::stats::Shape;
pub use engine::{Engine, ListenError};
pub use load::{Load, Outline, Pictures, Stall};
pub use wire::http::Subprotocol;
pub use wire::networks::Networks;
