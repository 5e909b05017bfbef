//! The class `Core`: arguments checked, commands passed on.
//!
//! Frozen: all change happens behind the engine's own locks. Read next: `events.rs`.

use std::io;
use std::path::PathBuf;

use longlink_core::{ConnId, Delivery, Engine, ListenError, Networks, Settings, Subprotocol};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::events::{self, Started};

/// The longest reason of a close (RFC 6455 section 5.5), in bytes.
const MAX_REASON: usize = 123;
/// The largest topic number: like connection numbers, they fit a double.
const MAX_TOPIC: u64 = (1 << 52) - 1;
/// The longest time that messages of a topic may gather.
const MAX_WINDOW_MS: u32 = 10_000;
/// The longest payload of a TCP record, in bytes.
const MAX_PAYLOAD: usize = (1 << 24) - 1;
/// The longest pause of a connection.
const MAX_PAUSE_MS: u32 = 60_000;

#[pyclass(frozen, module = "longlink._core")]
pub(crate) struct Core {
    engine: Engine,
    started: Started,
}

#[pymethods]
impl Core {
    #[new]
    #[pyo3(signature = (*, threads, max_connections, max_message_bytes, hello_bytes, header_timeout_ms,
        hello_timeout_ms, idle_timeout_ms, stall_timeout_ms, stream_heartbeat_ms, ping_ms, queue_bytes, total_queue_bytes, coalesce_ms, message_rate,
        message_burst, accept_rate, accept_burst, half_open_per_address, ring_events, ring_bytes, subprotocols,
        trusted_proxies, proxy_protocol, ticket_secret=b"".as_slice()))]
    fn new(
        threads: usize,
        max_connections: usize,
        max_message_bytes: usize,
        hello_bytes: usize,
        header_timeout_ms: u64,
        hello_timeout_ms: u64,
        idle_timeout_ms: u64,
        stall_timeout_ms: u64,
        stream_heartbeat_ms: u64,
        ping_ms: u64,
        queue_bytes: usize,
        total_queue_bytes: usize,
        coalesce_ms: u64,
        message_rate: u32,
        message_burst: u32,
        accept_rate: u32,
        accept_burst: u32,
        half_open_per_address: u32,
        ring_events: usize,
        ring_bytes: usize,
        subprotocols: Vec<(String, bool)>,
        trusted_proxies: Vec<String>,
        proxy_protocol: bool,
        ticket_secret: &[u8],
    ) -> PyResult<Self> {
        let subprotocols = subprotocols.into_iter().map(|(name, text)| Subprotocol { name, text }).collect();
        let trusted_proxies = Networks::parse(&trusted_proxies)
            .map_err(|error| PyValueError::new_err(format!("trusted_proxies: {error}")))?;
        let settings = Settings {
            threads,
            max_connections,
            max_message_bytes,
            hello_bytes,
            header_timeout_ms,
            hello_timeout_ms,
            idle_timeout_ms,
            stall_timeout_ms,
            stream_heartbeat_ms,
            ping_ms,
            queue_bytes,
            total_queue_bytes,
            coalesce_ms,
            message_rate,
            message_burst,
            accept_rate,
            accept_burst,
            half_open_per_address,
            ring_events,
            ring_bytes,
            subprotocols,
            trusted_proxies,
            proxy_protocol,
        };
        let engine = Engine::new(settings, ticket_secret).map_err(PyValueError::new_err)?;
        Ok(Self { engine, started: Started::default() })
    }

    #[pyo3(signature = (host, port, *, tls=None, shared=false))]
    fn listen(
        &self,
        py: Python<'_>,
        host: &str,
        port: u16,
        tls: Option<(PathBuf, PathBuf)>,
        shared: bool,
    ) -> PyResult<u16> {
        let tls = tls.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        // The host may have to be resolved.
        let outcome = py.detach(|| self.engine.listen(host, port, tls, shared));
        outcome.map_err(|error| match error {
            ListenError::Address(error) => os_error(&error),
            ListenError::Certificate(reason) => PyValueError::new_err(reason),
        })
    }

    fn reload_tls(&self, py: Python<'_>, certificate: PathBuf, key: PathBuf) -> PyResult<()> {
        py.detach(|| self.engine.reload_tls(&certificate, &key)).map_err(PyValueError::new_err)
    }

    fn fileno(&self) -> i32 {
        self.engine.fd()
    }

    #[pyo3(signature = (limit=4096, max_bytes=1_048_576))]
    fn poll<'py>(&self, py: Python<'py>, limit: usize, max_bytes: usize) -> PyResult<Bound<'py, PyList>> {
        events::poll(py, &self.engine, &self.started, limit, max_bytes)
    }

    #[pyo3(signature = (connection, payload, delivery, text=false))]
    fn send(&self, connection: ConnId, payload: &[u8], delivery: u8, text: bool) -> PyResult<()> {
        check_length(payload)?;
        self.engine.send(connection, payload, class(delivery)?, text);
        Ok(())
    }

    #[pyo3(signature = (connections, payload, delivery, text=false))]
    fn send_many(&self, connections: Vec<ConnId>, payload: &[u8], delivery: u8, text: bool) -> PyResult<()> {
        check_length(payload)?;
        self.engine.send_many(&connections, payload, class(delivery)?, text);
        Ok(())
    }

    fn subscribe(&self, connection: ConnId, topic: u64) -> PyResult<()> {
        check_topic(topic)?;
        self.engine.subscribe(connection, topic);
        Ok(())
    }

    fn unsubscribe(&self, connection: ConnId, topic: u64) -> PyResult<()> {
        check_topic(topic)?;
        self.engine.unsubscribe(connection, topic);
        Ok(())
    }

    #[pyo3(signature = (topic, payload, delivery, text=false, window_ms=0))]
    fn publish(&self, topic: u64, payload: &[u8], delivery: u8, text: bool, window_ms: u32) -> PyResult<()> {
        check_topic(topic)?;
        check_length(payload)?;
        let delivery = class(delivery)?;
        if delivery == Delivery::Reply {
            return Err(PyValueError::new_err("delivery: expected EVENT, TRANSIENT or LOW, got REPLY"));
        }
        if window_ms > MAX_WINDOW_MS {
            return Err(PyValueError::new_err(format!("window_ms: expected 0 to {MAX_WINDOW_MS}, got {window_ms}")));
        }
        self.engine.publish(topic, payload, delivery, text, window_ms);
        Ok(())
    }

    #[pyo3(signature = (connection, lifetime_ms=0, idle_ms=0))]
    fn admit(&self, connection: ConnId, lifetime_ms: u64, idle_ms: u64) {
        self.engine.admit(connection, lifetime_ms, idle_ms);
    }

    #[pyo3(signature = (connection, code, reason=""))]
    fn close(&self, connection: ConnId, code: u16, reason: &str) -> PyResult<()> {
        check_close(code, reason)?;
        self.engine.close(connection, code, reason);
        Ok(())
    }

    fn pause(&self, connection: ConnId, ms: u32) -> PyResult<()> {
        if !(1..=MAX_PAUSE_MS).contains(&ms) {
            return Err(PyValueError::new_err(format!("ms: expected 1 to {MAX_PAUSE_MS}, got {ms}")));
        }
        self.engine.pause(connection, ms);
        Ok(())
    }

    fn command_bytes(&self) -> usize {
        self.engine.command_bytes()
    }

    fn flush(&self) -> PyResult<()> {
        Ok(self.engine.flush()?)
    }

    fn peer(&self, connection: ConnId) -> Option<String> {
        let peer = self.engine.peer(connection)?;
        Some(if peer.port() == 0 { peer.ip().to_string() } else { peer.to_string() })
    }

    fn drain(&self, duration_ms: u64, code: u16, reason: &str) -> PyResult<()> {
        check_close(code, reason)?;
        Ok(self.engine.drain(duration_ms, code, reason)?)
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.engine.stop());
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = PyDict::new(py);
        for (name, value) in self.engine.counters() {
            counters.set_item(name, value)?;
        }
        Ok(counters)
    }

    fn histograms<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let histograms = PyDict::new(py);
        for (name, shape) in self.engine.histograms() {
            histograms.set_item(name, shape)?;
        }
        Ok(histograms)
    }
}

/// An `OSError` with its errno, as Python's own sockets raise it.
fn os_error(error: &io::Error) -> PyErr {
    let text = error.to_string();
    let sentence = text.split(" (os error").next().unwrap_or_default().to_owned();
    match error.raw_os_error() {
        Some(number) => PyOSError::new_err((number, sentence)),
        None => PyOSError::new_err(sentence),
    }
}

fn class(delivery: u8) -> PyResult<Delivery> {
    Delivery::from_number(delivery).ok_or_else(|| {
        PyValueError::new_err(format!("delivery: expected REPLY, EVENT, TRANSIENT or LOW, got {delivery}"))
    })
}

fn check_topic(topic: u64) -> PyResult<()> {
    if !(1..=MAX_TOPIC).contains(&topic) {
        return Err(PyValueError::new_err(format!("topic: expected 1 to {MAX_TOPIC}, got {topic}")));
    }
    Ok(())
}

fn check_length(payload: &[u8]) -> PyResult<()> {
    if payload.len() > MAX_PAYLOAD {
        let length = payload.len();
        return Err(PyValueError::new_err(format!("payload: expected at most {MAX_PAYLOAD} bytes, got {length}")));
    }
    Ok(())
}

fn check_close(code: u16, reason: &str) -> PyResult<()> {
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(PyValueError::new_err(format!("code: expected a close code of RFC 6455, got {code}")));
    }
    if reason.len() > MAX_REASON {
        let length = reason.len();
        return Err(PyValueError::new_err(format!("reason: expected at most {MAX_REASON} bytes, got {length}")));
    }
    Ok(())
}
