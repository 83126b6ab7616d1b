//! A command that is fed and listened to until it ends: all of its pipes at once, so that none of them holds up another.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use wharf_sys::clock::Deadline;
use wharf_sys::poll::{self, Interest};

use crate::group::Pipes;

/// How long what a command has started, and left behind at its end, may still write for it.
const MOMENT: Duration = Duration::from_millis(200);

/// What a pipe holds at most, where nobody has raised the system's limit for it. So much is read after the command's end
/// whatever the clock says: the command itself may have written it.
const PIPE_BYTES: usize = 1 << 20;

/// Where it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    /// To standard output.
    Output,
    /// To standard error.
    Complaint,
}

/// Feeds the command with this input and passes on what it writes, until it has ended and its outputs have, too, or a moment has passed
/// since. `end` is readable from its end on. A command that does not read its input does without.
pub(crate) fn attend(
    pipes: Pipes,
    end: BorrowedFd<'_>,
    mut input: &[u8],
    heard: &mut dyn FnMut(Voice, &[u8]),
) -> io::Result<()> {
    let Pipes { input: mut feed, mut output, mut complaint } = pipes;
    let mut piece = vec![0; 64 << 10];
    // When to give up waiting for the outputs' ends, and what was read since the command's own.
    let (mut until, mut since): (Option<Instant>, usize) = (None, 0);
    // Ends with the command and the moment behind it.
    loop {
        feed = feed.filter(|_| !input.is_empty() && until.is_none());
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let ready = {
            // In the order in which they are looked at below.
            let feed = feed.as_ref().map(|it| (it.as_fd(), Interest::WRITE));
            let outputs = [output.as_ref().map(AsFd::as_fd), complaint.as_ref().map(AsFd::as_fd)];
            let outputs = outputs.map(|it| it.map(|it| (it, Interest::READ)));
            let end = Some((end, Interest::READ)).filter(|_| until.is_none());
            ready_of([feed, outputs[0], outputs[1], end], left)?
        };
        let [feeds, speaks, complains, ended] = ready;
        if feeds && let Some(pipe) = &mut feed {
            match pipe.write(input) {
                Ok(written) => input = input.get(written..).unwrap_or_default(),
                Err(error) if is_passing(&error) => {}
                Err(_) => input = &[],
            }
        }
        if speaks {
            since += listen(&mut output, &mut piece, &mut |said| heard(Voice::Output, said))?;
        }
        if complains {
            since += listen(&mut complaint, &mut piece, &mut |said| heard(Voice::Complaint, said))?;
        }
        if ended {
            (until, since) = (Some(Instant::now() + MOMENT), 0);
        }
        // It was late before it was looked, so what there was has been seen.
        let (late, quiet) = (left.is_some_and(|left| left.is_zero()), !speaks && !complains);
        if until.is_some() && output.is_none() && complaint.is_none() || late && (quiet || since > 2 * PIPE_BYTES) {
            return Ok(());
        }
    }
}

/// Which of these are ready, waiting at most so long for one; all of them are not when the time is over.
pub(crate) fn ready_of<const N: usize>(
    asked: [Option<(BorrowedFd<'_>, Interest)>; N],
    limit: Option<Duration>,
) -> io::Result<[bool; N]> {
    let list: Vec<_> = asked.iter().flatten().copied().collect();
    let mut found = Vec::with_capacity(N);
    poll::wait_each(&list, limit.map(Deadline::after), &mut found)?;
    // An end that is closed, or broken, is found out by whoever uses it.
    let mut found = found.into_iter();
    Ok(asked.map(|it| it.is_some() && found.next().is_some_and(poll::Found::any)))
}

/// Reads once, and drops the pipe at its end; how much there was.
fn listen<P: Read>(pipe: &mut Option<P>, piece: &mut [u8], heard: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
    let Some(open) = pipe else { return Ok(0) };
    match open.read(piece) {
        Ok(0) => {
            *pipe = None;
            Ok(0)
        }
        Ok(read) => {
            heard(piece.get(..read).unwrap_or_default());
            Ok(read)
        }
        Err(error) if is_passing(&error) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Whether it is worth another try, later.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
