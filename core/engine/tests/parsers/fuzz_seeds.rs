//! The oracles of the fuzz targets over their seeds and some thousand mutations of them, the same ones in every run.
use crate::oracles::{Random, check_http, check_proxy, check_tcp, check_websocket};
use crate::streams::check_stream;
use std::fs;
use std::path::PathBuf;

const MUTATIONS_PER_SEED: usize = 300;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 5, "the seeds of {target} are missing");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Flips, cuts, doubles or inserts, one to four times.
fn mutate(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(data.len().max(1));
        match random.below(5) {
            0 if !data.is_empty() => data[at] ^= 1 << random.below(8),
            1 if !data.is_empty() => data[at] = [0, 0x7f, 0x80, 0xff, b',', b'\n'][random.below(6)],
            2 => data.truncate(at),
            3 => data.extend_from_within(at.min(data.len())..),
            _ => data.insert(at.min(data.len()), u8::try_from(random.below(256)).unwrap_or(0)),
        }
    }
    data
}

fn check_all(target: &str, check: fn(&[u8])) {
    let mut random = Random::new(1);
    for seed in seeds(target) {
        check(&seed);
        for _ in 0..MUTATIONS_PER_SEED {
            check(&mutate(&seed, &mut random));
        }
    }
}

#[test]
fn the_http_oracle_holds_over_seeds_and_mutations() {
    check_all("http", check_http);
}

#[test]
fn the_websocket_oracle_holds_over_seeds_and_mutations() {
    check_all("websocket", check_websocket);
}

#[test]
fn the_tcp_oracle_holds_over_seeds_and_mutations() {
    check_all("tcp", check_tcp);
}

#[test]
fn the_stream_oracle_holds_over_seeds_and_mutations() {
    check_all("stream", check_stream);
}

#[test]
fn the_proxy_oracle_holds_over_seeds_and_mutations() {
    check_all("proxy", check_proxy);
}
