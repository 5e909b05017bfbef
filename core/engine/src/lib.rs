//! The connection core of Longlink.

pub mod http;
pub mod tcp;
pub mod websocket;
pub mod wire;
