//! The parsers from outside, on whole streams: tables of cases, properties, and the oracles of the fuzz targets.
#[path = "../../../fuzz/oracles.rs"]
mod oracles;

mod fuzz_seeds;
mod http;
mod properties;
mod tcp;
mod websocket;
