//! `longlink._core`: the Python face of the connection core.
use pyo3::prelude::*;

#[pymodule]
mod _core {}
