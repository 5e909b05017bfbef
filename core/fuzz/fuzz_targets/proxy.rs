//! Any bytes as a PROXY header and as what proxies say in fields of HTTP. What must hold is in ../oracles.rs.
#![no_main]

#[path = "../oracles.rs"]
#[allow(dead_code)] // Each target uses its own oracle.
mod oracles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::check_proxy(data));
