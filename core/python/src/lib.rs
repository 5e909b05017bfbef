//! `longlink._core`: the Python face of the connection core.
//!
//! Turns arguments into commands and batches into lists, and nothing else. The shape is src/longlink/_core.pyi, the
//! contract core/BOUNDARY.md. Read next: core/engine/src/engine.rs.

// Arguments are made from Python objects for one call, and a method has the keywords that the contract gives it.
#![allow(clippy::needless_pass_by_value, clippy::too_many_arguments)]

mod core;
mod events;
mod load;

use pyo3::pymodule;

#[pymodule]
mod _core {
    use longlink_core::{Delivery, EventKind};
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::core::Core;
    #[pymodule_export]
    use crate::load::Load;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        for (name, kind) in [
            ("BINARY", EventKind::Binary),
            ("TEXT", EventKind::Text),
            ("CLOSED", EventKind::Closed),
            ("MISSED", EventKind::Missed),
        ] {
            module.add(name, kind as u8)?;
        }
        for (name, delivery) in [
            ("REPLY", Delivery::Reply),
            ("EVENT", Delivery::Event),
            ("TRANSIENT", Delivery::Transient),
            ("LOW", Delivery::Low),
        ] {
            module.add(name, delivery as u8)?;
        }
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
