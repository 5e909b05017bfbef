//! Any bytes as the request that opens a stream, and as what is said on it. What must hold is in ../streams.rs.
#![no_main]

#[path = "../oracles.rs"]
#[allow(dead_code)] // Each target uses its own oracle.
mod oracles;
#[path = "../streams.rs"]
#[allow(dead_code)]
mod streams;

libfuzzer_sys::fuzz_target!(|data: &[u8]| streams::check_stream(data));
