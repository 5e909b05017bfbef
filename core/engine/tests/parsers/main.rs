//! The parsers from outside, on whole streams: tables of cases, properties, and the oracles of the fuzz targets.
#[path = "../../../fuzz/oracles.rs"]
mod oracles;
#[path = "../../../fuzz/streams.rs"]
mod streams;

mod fuzz_seeds;
mod http;
mod properties;
mod proxies;
mod stream;
mod tcp;
mod websocket;
