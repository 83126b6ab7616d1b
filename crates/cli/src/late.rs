//! Standard output whose reader may be late: what it does not take yet is kept, and nobody waits for it.

use std::cell::RefCell;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use wharf::{Endpoint, Writable};
use wharf_sys::clock::Deadline;
use wharf_sys::outlet::Outlet;
use wharf_sys::poll::{self, Interest};

/// One of several hands that write there. Whoever writes bounds what is kept: it asks how much that is.
#[derive(Clone)]
pub(crate) struct Late(Rc<RefCell<Kept>>);

struct Kept {
    /// The library's own serves where there is no descriptor left.
    outlet: Option<Outlet>,
    bytes: Vec<u8>,
    /// So many of them, from the first, were taken.
    taken: usize,
}

/// Ready when there is room for what is kept.
pub(crate) struct RoomThere(Option<Writable<Outlet>>);

impl Late {
    /// Standard output, and what to wait with for its reader.
    pub(crate) fn standard() -> (Late, RoomThere) {
        Late::over(|| io::stdout().as_fd().try_clone_to_owned().ok().map(Outlet::new))
    }

    /// What these lead to, both to the same.
    fn over(outlet: impl Fn() -> Option<Outlet>) -> (Late, RoomThere) {
        let kept = Kept { outlet: outlet(), bytes: Vec::new(), taken: 0 };
        (Late(Rc::new(RefCell::new(kept))), RoomThere(outlet().map(Writable)))
    }

    /// How much is kept.
    pub(crate) fn kept_bytes(&self) -> usize {
        let kept = self.0.borrow();
        kept.bytes.len() - kept.taken
    }

    /// Whether anything is.
    pub(crate) fn is_behind(&self) -> bool {
        self.kept_bytes() > 0
    }

    /// Hands on all that is kept, to a reader that may take so long.
    pub(crate) fn finish(&mut self, limit: Duration) -> io::Result<()> {
        let deadline = Deadline::after(limit);
        // Ends when all is handed on, or with the limit.
        loop {
            self.flush()?;
            let kept = self.0.borrow();
            match &kept.outlet {
                Some(outlet) if kept.taken < kept.bytes.len() => {
                    if poll::wait(&[(outlet.as_fd(), Interest::WRITE)], Some(deadline))?.is_empty() {
                        return Ok(());
                    }
                }
                _ => return Ok(()),
            }
        }
    }
}

impl Write for Late {
    /// Keeps it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Hands on what there is room for.
    fn flush(&mut self) -> io::Result<()> {
        let mut kept = self.0.borrow_mut();
        let Kept { outlet, bytes, taken } = &mut *kept;
        // Ends when all is handed on, or there is no room.
        while let Some(rest) = bytes.get(*taken..).filter(|rest| !rest.is_empty()) {
            match outlet {
                None => {
                    io::stdout().write_all(rest)?;
                    *taken += rest.len();
                }
                Some(outlet) => match outlet.write(rest)? {
                    Some(len) => *taken += len,
                    None => break,
                },
            }
        }
        if *taken >= bytes.len() / 2 {
            bytes.drain(..*taken);
            *taken = 0;
        }
        Ok(())
    }
}

impl RoomThere {
    /// None where there always is some.
    pub(crate) fn endpoint(&mut self) -> Option<&mut dyn Endpoint> {
        self.0.as_mut().map(|outlet| -> &mut dyn Endpoint { outlet })
    }
}

#[cfg(test)]
impl Late {
    /// What goes into a pipe.
    pub(crate) fn into_pipe(pipe: &std::os::fd::OwnedFd) -> (Late, RoomThere) {
        Late::over(|| pipe.try_clone().ok().map(Outlet::new))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn what_nobody_reads_is_kept_in_order() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let writer = OwnedFd::from(writer);
        let (mut late, mut room) = Late::into_pipe(&writer);
        let all: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        for piece in all.chunks(10_000) {
            late.write_all(piece).and_then(|()| late.flush()).expect("memory has room");
        }
        let kept = late.kept_bytes();
        assert!(kept > 0 && kept < all.len(), "{kept}");
        late.finish(Duration::from_millis(1)).expect("nobody reads, which is no error");
        assert_eq!(late.kept_bytes(), kept);
        assert!(room.endpoint().is_some());
        let mut found = vec![0; all.len()];
        let mut read = 0;
        while read < all.len() {
            read += reader.read(&mut found[read..]).expect("bytes");
            late.flush().expect("somebody reads");
        }
        assert!(found == all && !late.is_behind());
        drop(reader);
        late.write_all(b"x").expect("memory has room");
        assert_eq!(late.flush().expect_err("nobody will read").kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_file_takes_all_at_once() {
        let file: File = tempfile::tempfile().expect("a file");
        let fd = OwnedFd::from(file.try_clone().expect("a copy"));
        let (mut late, _) = Late::into_pipe(&fd);
        late.write_all(&[7; 100_000]).and_then(|()| late.flush()).expect("room");
        assert_eq!((late.is_behind(), file.metadata().expect("a file").len()), (false, 100_000));
    }
}
