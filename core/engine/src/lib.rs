//! The connection core of Longlink.

pub mod http;
mod message;
pub mod tcp;
pub mod websocket;
pub mod wire;
