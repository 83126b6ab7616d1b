//! Named places where a test can kill or stop the process, compiled to nothing without `crash-points`.
//!
//! With the feature on, the environment variable `WHARF_CRASH_AT` names one point: `name` kills at its
//! first passage, `name:3` at its third. The kill is a real `SIGKILL`: no destructor runs. `WHARF_STOP_AT` names one where the
//! process stops (`SIGSTOP`) until somebody lets it go on, so that others get between two of its steps.

/// Marks a place where a test may kill the process: `crash_point!("log.publish")`.
///
/// Expands to nothing unless this crate is built with the feature `crash-points`.
#[cfg(not(feature = "crash-points"))]
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {};
}

/// Marks a place where a test may kill the process: `crash_point!("log.publish")`.
///
/// This build has `crash-points` on: the point is live.
#[cfg(feature = "crash-points")]
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        $crate::crash::pass($name)
    };
}

#[cfg(feature = "crash-points")]
pub use live::pass;

#[cfg(feature = "crash-points")]
mod live {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Pid, Signal, kill_process};

    use super::parse;

    struct Armed {
        name: String,
        left: AtomicU64,
    }

    impl Armed {
        /// What this environment variable names.
        fn by(variable: &str) -> Option<Armed> {
            let text = std::env::var(variable).ok()?;
            let (name, nth) = parse(&text)?;
            Some(Armed { name: name.to_owned(), left: AtomicU64::new(nth) })
        }

        /// Whether it is this point, and its turn has come.
        fn is_due(&self, name: &str) -> bool {
            self.name == name && self.left.fetch_sub(1, Ordering::Relaxed) == 1
        }
    }

    static CRASH: OnceLock<Option<Armed>> = OnceLock::new();
    static STOP: OnceLock<Option<Armed>> = OnceLock::new();

    /// Passes the point `name`; does not return where the process is to be killed when its turn has come, and late where it is to
    /// be stopped.
    pub fn pass(name: &str) {
        let is_due = |armed: &Option<Armed>| armed.as_ref().is_some_and(|it| it.is_due(name));
        if is_due(STOP.get_or_init(|| Armed::by("WHARF_STOP_AT"))) {
            signal_myself(Signal::STOP);
        }
        if is_due(CRASH.get_or_init(|| Armed::by("WHARF_CRASH_AT"))) {
            signal_myself(Signal::KILL);
            // The signal is ours and cannot be blocked; it arrives before kill returns. Should a tracer
            // swallow it, the process must still not go on.
            std::process::abort()
        }
    }

    fn signal_myself(signal: Signal) {
        let me = i32::try_from(std::process::id()).ok().and_then(Pid::from_raw);
        let _ = me.map(|me| kill_process(me, signal));
    }
}

/// Splits `name` or `name:nth`; `None` when the number is not one or is zero.
#[cfg(any(test, feature = "crash-points"))]
fn parse(text: &str) -> Option<(&str, u64)> {
    match text.rsplit_once(':') {
        None if text.is_empty() => None,
        None => Some((text, 1)),
        Some((name, nth)) => {
            let nth = nth.parse().ok().filter(|&nth| nth > 0)?;
            Some((name, nth))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_point_is_a_name_and_perhaps_a_turn() {
        assert_eq!(parse("log.publish"), Some(("log.publish", 1)));
        assert_eq!(parse("log.publish:3"), Some(("log.publish", 3)));
        assert_eq!(parse(""), None);
        assert_eq!(parse("log.publish:0"), None);
        assert_eq!(parse("log.publish:x"), None);
    }
}
