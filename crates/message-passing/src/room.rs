//! Room to send, as something to wait for.

use std::io;

use crate::sender::Sender;
use crate::waits::{Announced, Endpoint, Glance, Places, Seam, Stir, Waits};

/// Room to send on a link, for a [`Selector`](crate::Selector); see [`Sender::room`].
pub struct Room<'a> {
    sender: &'a mut Sender,
}

impl<'a> Room<'a> {
    pub(crate) fn new(sender: &'a mut Sender, len: usize) -> Self {
        sender.half.want_room(len);
        Self { sender }
    }
}

impl Waits for Room<'_> {
    fn glance(&mut self) -> Glance {
        self.sender.half.glance()
    }

    fn may_spin(&self) -> bool {
        !self.sender.forbids_spinning()
    }

    fn announce(&mut self) -> Announced {
        self.sender.half.announce()
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        self.sender.half.descriptors()
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        self.sender.half.stirred(found)
    }

    fn awake(&mut self) {
        self.sender.half.awake();
    }
}

impl Endpoint for Room<'_> {
    fn seam(&mut self) -> Seam<'_> {
        Seam(self)
    }
}

impl std::fmt::Debug for Room<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Room").field(self.sender).finish()
    }
}
