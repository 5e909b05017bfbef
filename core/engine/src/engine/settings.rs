//! Every limit of the core, explicit; the defaults live with the caller.
//!
//! Only values and their ranges. Read next: `../engine.rs`.

use crate::wire::http::Subprotocol;
use crate::wire::networks::Networks;

/// What the caller decides. Times in milliseconds, sizes in bytes, rates per second.
#[derive(Clone, Debug)]
pub struct Settings {
    pub threads: usize,
    pub max_connections: usize,
    pub max_message_bytes: usize,
    /// The same for a connection that is not admitted, if it is less.
    pub hello_bytes: usize,
    pub header_timeout_ms: u64,
    /// 0: no limit, and every connection counts as admitted at its upgrade.
    pub hello_timeout_ms: u64,
    /// 0: no limit.
    pub idle_timeout_ms: u64,
    pub stall_timeout_ms: u64,
    /// Silence after which a stream gets a comment.
    pub stream_heartbeat_ms: u64,
    /// Silence after which a WebSocket of a browser or behind a proxy gets a ping. 0: none.
    pub ping_ms: u64,
    pub queue_bytes: usize,
    /// All connections of the process together.
    pub total_queue_bytes: usize,
    /// 0: what one turn gathers is written in that turn.
    pub coalesce_ms: u64,
    /// 0: no limit.
    pub message_rate: u32,
    pub message_burst: u32,
    /// 0: no limit.
    pub accept_rate: u32,
    pub accept_burst: u32,
    pub half_open_per_address: u32,
    pub ring_events: usize,
    pub ring_bytes: usize,
    pub subprotocols: Vec<Subprotocol>,
    /// Proxies that are believed when they say whom they speak for.
    pub trusted_proxies: Networks,
    /// They say it by a header of the PROXY protocol, not by fields of HTTP.
    pub proxy_protocol: bool,
}

/// Tokens are counted in thousandths in 32 bits.
const MAX_TOKENS: u64 = 4_000_000;

impl Settings {
    /// The longest message of a connection that is not admitted.
    pub(crate) fn hello_bytes(&self) -> usize {
        let most = self.max_message_bytes;
        if self.hello_timeout_ms == 0 { most } else { most.min(self.hello_bytes) }
    }

    /// Check every limit.
    ///
    /// # Errors
    /// A sentence that names the argument out of range.
    pub fn check(&self) -> Result<(), String> {
        between("threads", self.threads as u64, 1, 255)?;
        between("max_connections", self.max_connections as u64, 1, 1 << 24)?;
        between("max_message_bytes", self.max_message_bytes as u64, 1, (1 << 24) - 1)?;
        between("hello_bytes", self.hello_bytes as u64, 1, (1 << 24) - 1)?;
        between("header_timeout_ms", self.header_timeout_ms, 1, u64::MAX)?;
        between("stall_timeout_ms", self.stall_timeout_ms, 1, u64::MAX)?;
        between("stream_heartbeat_ms", self.stream_heartbeat_ms, 1, 86_400_000)?;
        between("ping_ms", self.ping_ms, 0, 86_400_000)?;
        between("queue_bytes", self.queue_bytes as u64, 1024, 1 << 30)?;
        between("total_queue_bytes", self.total_queue_bytes as u64, self.queue_bytes as u64, 1 << 40)?;
        between("coalesce_ms", self.coalesce_ms, 0, 1000)?;
        between("message_rate", u64::from(self.message_rate), 0, MAX_TOKENS)?;
        between("message_burst", u64::from(self.message_burst), 1, MAX_TOKENS)?;
        between("accept_rate", u64::from(self.accept_rate), 0, MAX_TOKENS)?;
        between("accept_burst", u64::from(self.accept_burst), 1, MAX_TOKENS)?;
        between("half_open_per_address", u64::from(self.half_open_per_address), 1, u64::from(u32::MAX))?;
        between("ring_events", self.ring_events as u64, 1, 1 << 30)?;
        between("ring_bytes", self.ring_bytes as u64, 1, 1 << 40)?;
        if self.proxy_protocol && self.trusted_proxies.is_empty() {
            return Err("proxy_protocol: expected trusted_proxies beside it, got none".to_owned());
        }
        Ok(())
    }
}

fn between(name: &str, value: u64, least: u64, most: u64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(format!("{name}: expected {least} to {most}, got {value}"))
}
