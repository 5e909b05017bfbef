//! From batches to the list of tuples that `poll` returns.
//!
//! A batch that was not taken whole waits in `Started`; no lock is held while Python objects are made, because making
//! them may run any Python code. Read next: core/engine/src/engine/ring.rs.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use longlink_core::{Batch, Engine, EventKind};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyList, PyTuple};

/// The batch that is being taken, and how many of its events have been.
#[derive(Default)]
pub(crate) struct Started(Mutex<Option<(Batch, usize)>>);

impl Started {
    fn swap(&self, batch: Option<(Batch, usize)>) -> Option<(Batch, usize)> {
        std::mem::replace(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), batch)
    }
}

/// Up to `limit` events, and up to `max_bytes` of payload unless the first event alone has more.
pub(crate) fn poll<'py>(
    py: Python<'py>,
    engine: &Engine,
    started: &Started,
    limit: usize,
    max_bytes: usize,
) -> PyResult<Bound<'py, PyList>> {
    let mut taken: Vec<Bound<'py, PyTuple>> = Vec::new();
    let mut room = max_bytes;
    let mut enough = limit == 0;
    while !enough {
        let next = started.swap(None).or_else(|| engine.take().map(|batch| (batch, 0)));
        let Some((batch, begin)) = next else { break };
        let most = batch.events().len().min(begin.saturating_add(limit - taken.len()));
        let end = begin + fitting(&batch, begin..most, &mut room, taken.is_empty());
        enough = end < batch.events().len() || end - begin == limit - taken.len();
        taken.reserve(end - begin);
        for event in &batch.events()[begin..end] {
            let data = match event.kind {
                EventKind::Binary | EventKind::Text => PyBytes::new(py, batch.payload(event)).into_any(),
                EventKind::Closed | EventKind::Missed => PyInt::new(py, event.number).into_any(),
            };
            taken.push((event.kind as u8, event.connection, data).into_pyobject(py)?);
        }
        if end < batch.events().len() {
            started.swap(Some((batch, end)));
        } else {
            engine.release(batch);
        }
    }
    if !taken.is_empty() {
        engine.observe_batch(taken.len());
    }
    PyList::new(py, taken)
}

/// How many of these events have room; the first of a poll always has.
fn fitting(batch: &Batch, range: Range<usize>, room: &mut usize, first: bool) -> usize {
    let events = &batch.events()[range];
    let over = events.iter().enumerate().position(|(index, event)| {
        let length = batch.payload(event).len();
        let fits = length <= *room || (first && index == 0);
        *room = room.saturating_sub(length);
        !fits
    });
    over.unwrap_or(events.len())
}
