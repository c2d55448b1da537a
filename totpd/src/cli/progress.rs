//! A progress bar on stderr, for work that takes longer than a second.

use crate::cli::output::Output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How long work goes on before its progress is shown.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// A progress bar that counts bytes or users. It is cleared when dropped.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    shows: bool,
    start: Instant,
    shown: Cell<bool>,
}

impl Progress {
    /// Starts to count to `bytes`. Shows nothing under `-q` or `--json`, or if stderr is not a
    /// terminal.
    pub(super) fn start(out: Output, bytes: u64) -> Self {
        Self::with_template(out, bytes, "{bar:40} {bytes}/{total_bytes} {eta}")
    }

    /// Starts to count to `total` users, as [`Self::start`] does.
    pub(super) fn count(out: Output, total: usize) -> Self {
        Self::with_template(out, u64::try_from(total).unwrap_or(u64::MAX), "{bar:40} {pos}/{len} {eta}")
    }

    /// Starts to count to `steps` of a copy, as [`Self::start`] does: each row is written, and
    /// compared.
    pub(super) fn copy(out: Output, steps: u64) -> Self {
        Self::with_template(out, steps, "{bar:40} {percent} % copied and compared, {eta} left")
    }

    fn with_template(out: Output, total: u64, template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, shows: shows(out), start: Instant::now(), shown: Cell::new(false) }
    }

    /// Counts this many more.
    pub(super) fn add(&self, count: u64) {
        if self.shows && !self.shown.get() && self.start.elapsed() > SHOWN_AFTER {
            self.shown.set(true);
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(count);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn shows(out: Output) -> bool {
    !out.json && !out.quiet && std::io::stderr().is_terminal()
}

/// Shows what the command waits for. It is cleared when dropped.
#[derive(Debug)]
pub(super) struct Waiting(ProgressBar);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Shows what the command waits for, once that takes longer than a second.
pub(super) fn waiting(out: Output, what: &'static str) -> Waiting {
    let target = if shows(out) { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_message(what);
    bar.enable_steady_tick(SHOWN_AFTER);
    Waiting(bar)
}
