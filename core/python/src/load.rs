//! The class `Load`: arguments checked, orders passed on, counts made into dictionaries.
//!
//! Read next: core/engine/src/load.rs.

use std::path::PathBuf;

use longlink_core::{Outline, Stall};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

#[pyclass(frozen, module = "longlink._core")]
pub(crate) struct Load {
    load: longlink_core::Load,
}

#[pymethods]
impl Load {
    #[new]
    #[pyo3(signature = (plan, *, host, port, source="", subprotocol="", tls=None, resume=false, heartbeat_ms=0, at_once=64,
        size=100, stall_one_in=0, stall_after=0, receive_buffer=0))]
    fn new(
        plan: &str,
        host: &str,
        port: u16,
        source: &str,
        subprotocol: &str,
        tls: Option<PathBuf>,
        resume: bool,
        heartbeat_ms: u64,
        at_once: usize,
        size: usize,
        stall_one_in: u32,
        stall_after: u64,
        receive_buffer: usize,
    ) -> PyResult<Self> {
        let outline = Outline {
            plan: plan.to_owned(),
            host: host.to_owned(),
            port,
            source: source.to_owned(),
            subprotocol: subprotocol.to_owned(),
            tls: tls.map(|file| (file, resume)),
            heartbeat_ms,
            at_once,
            size,
            stall: Stall { one_in: stall_one_in, after: stall_after },
            receive_buffer,
        };
        Ok(Self { load: longlink_core::Load::new(&outline).map_err(PyValueError::new_err)? })
    }

    fn connect(&self, openings: Vec<Vec<u8>>) -> PyResult<()> {
        done(self.load.connect(openings.into_iter().map(Vec::into_boxed_slice).collect()))
    }

    fn close(&self) -> PyResult<()> {
        done(self.load.close())
    }

    fn come_back(&self) -> PyResult<()> {
        done(self.load.come_back())
    }

    fn talk(&self) -> PyResult<()> {
        done(self.load.talk())
    }

    fn halt(&self) -> PyResult<()> {
        done(self.load.halt())
    }

    #[pyo3(signature = (bursts, messages=1, gather=false))]
    fn publish(&self, bursts: u64, messages: u64, gather: bool) -> PyResult<()> {
        done(self.load.publish(bursts, messages, gather))
    }

    fn resume(&self) -> PyResult<()> {
        done(self.load.resume())
    }

    fn open(&self, names: Vec<(String, String)>) -> PyResult<()> {
        done(self.load.open(names))
    }

    fn follow(&self, begin_ns: u64, every_ns: u64, count: u64) -> PyResult<()> {
        done(self.load.follow(begin_ns, every_ns, count))
    }

    fn verify(&self) -> PyResult<()> {
        done(self.load.verify())
    }

    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = PyDict::new(py);
        for (name, number) in self.load.counts() {
            counts.set_item(name, number)?;
        }
        Ok(counts)
    }

    fn closes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let closes = PyDict::new(py);
        for (code, number) in self.load.closes() {
            closes.set_item(code, number)?;
        }
        Ok(closes)
    }

    fn delays<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let delays = PyDict::new(py);
        for (name, picture) in self.load.delays() {
            delays.set_item(name, picture)?;
        }
        Ok(delays)
    }

    fn words(&self) -> Vec<String> {
        self.load.words()
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.load.stop());
    }
}

fn done(outcome: Result<(), String>) -> PyResult<()> {
    outcome.map_err(PyRuntimeError::new_err)
}
