//! The connection core of Longlink.
