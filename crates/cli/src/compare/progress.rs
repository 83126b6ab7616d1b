//! A progress bar for people at a terminal, and silence for everyone else.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How far the comparison has got.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Starts at zero of `steps`. It is drawn only between steps, because drawing would be measured.
    pub(crate) fn start(steps: usize) -> Progress {
        let target =
            if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(steps as u64), target);
        let style =
            ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        Progress { bar }
    }

    /// One that nobody sees.
    pub(crate) fn silent() -> Progress {
        Progress { bar: ProgressBar::hidden() }
    }

    /// Says what is being done now.
    pub(crate) fn step(&self, transport: &str, what: &str) {
        self.bar.set_message(format!("{transport} {what}"));
        self.bar.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
