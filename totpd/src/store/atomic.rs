//! The atomics of `commit_guard`: a file of its own, so that a test can replace them by those of
//! loom.

pub(super) use std::sync::atomic::{AtomicU8, Ordering};
