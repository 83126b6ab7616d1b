//! A progress bar for people at a terminal, and silence for everyone else.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How much of a stream has passed.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// Begins; it draws nothing where standard error is no terminal, and some twenty times a second where it is one.
    pub(super) fn begin(len_bytes: Option<u64>) -> Bar {
        let bar = ProgressBar::with_draw_target(len_bytes, ProgressDrawTarget::stderr());
        let template = match len_bytes {
            Some(_) => "{bar:24} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            None => "{spinner} {bytes} {bytes_per_sec}",
        };
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Bar(bar)
    }

    /// One that nobody sees.
    pub(super) fn hidden() -> Bar {
        Bar(ProgressBar::hidden())
    }

    /// So many bytes more have passed.
    pub(super) fn add(&self, len: usize) {
        self.0.inc(len as u64);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        // What is said next begins on a clean line.
        self.0.finish_and_clear();
    }
}
