//! The connection core of Longlink: sockets, framing, timers and queues; no Python.
//!
//! The contract is core/BOUNDARY.md. Read next: `engine.rs` (the face), `thread.rs` (the loop), `wire.rs` (the parsers).

mod accepting;
mod addresses;
mod alarms;
mod blocks;
mod bounds;
mod bucket;
mod clock;
mod closing;
mod commands;
mod connection;
mod draining;
mod engine;
mod fanout;
mod handshake;
mod holding;
pub mod http;
mod ident;
mod io;
mod listening;
mod load;
mod message;
mod orders;
mod peers;
mod queue;
mod reading;
mod ring;
mod rounds;
mod settings;
mod stats;
mod table;
pub mod tcp;
mod thread;
mod timers;
mod tls;
mod topics;
mod transport;
mod turn;
pub mod websocket;
mod wheel;
pub mod wire;
mod writing;

pub use bounds::Delivery;
pub use engine::{Engine, ListenError};
pub use http::Subprotocol;
pub use ident::ConnId;
pub use load::{Load, Outline, Pictures, Stall};
pub use ring::{Batch, Event, EventKind};
pub use settings::Settings;
pub use stats::Shape;
