//! Processes of other users: kept out unless they are admitted, and never trusted by default.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use wharf_message_passing::{ConnectError, Options};
use wharf_sys::socket;

use crate::world::{Peer, SOON, World};

/// A user that this machine need not have.
pub(crate) const GUEST: u32 = 12_345;

/// A peer of another user; `None` where this process cannot make one, which skips the case.
pub(crate) fn guest(world: &World, mut command: Command) -> Option<Peer> {
    if socket::my_uid() != 0 {
        world.skip("becoming another user needs root");
        return None;
    }
    command.uid(GUEST).gid(GUEST);
    match Peer::try_start(command) {
        Ok(peer) => Some(peer),
        Err(error) => {
            world.skip(&format!("another user cannot run this program where it lies ({error})"));
            None
        }
    }
}

/// An address that every user can reach, in a directory where every user may look.
pub(crate) fn public(world: &World) -> String {
    std::fs::set_permissions(world.path(), PermissionsExt::from_mode(0o755)).unwrap();
    format!("unix:{}/public.sock", world.path().display())
}

/// The directory of names is private: another user does not even get to the socket.
pub(crate) fn kept_out_of_names(world: &World) {
    let _listener = world.listen();
    let Some(mut guest) = guest(world, world.command("stranger")) else { return };
    let told = guest.line();
    assert!(told.contains("permission denied") || told.contains("uid"), "{told}");
}

/// The system keeps others out of a socket for which nobody was admitted; the listener refuses who is not listed.
pub(crate) fn kept_out_of_paths(world: &World) {
    let address = public(world);
    let listener = Options::new().listen(&address).unwrap();
    let Some(mut denied) = guest(world, world.command_at("stranger", &address)) else { return };
    assert!(denied.line().starts_with(&format!("permission denied: this process (uid {GUEST})")));
    drop(listener);

    let mut listener = Options::new().allow_uid(GUEST + 1).listen(&address).unwrap();
    let Some(mut refused) = guest(world, world.command_at("stranger", &address)) else { return };
    // The guest does not admit this side either, and says so first.
    assert!(refused.line().contains("which this side (uid 12345) does not admit"));
    let Some(mut refused) = guest(world, world.command_at("guest", &address)) else { return };
    let late = listener.accept_timeout(std::time::Duration::from_millis(200)).map(|_| ());
    assert!(matches!(late, Err(ConnectError::Timeout { .. })), "{late:?}");
    assert!(matches!(listener.last_refusal(), Some(ConnectError::OtherUser { uid: GUEST, ours: 0 })));
    assert_eq!(refused.line(), format!("the other side refused: it does not admit this user (uid {GUEST})"));
}

/// Both sides admit each other, and neither trusts the other.
pub(crate) fn admitted(world: &World) {
    let address = public(world);
    let mut listener = Options::new().allow_uid(GUEST).listen(&address).unwrap();
    let Some(mut guest) = guest(world, world.command_at("guest", &address)) else { return };
    let mut link = listener.accept_timeout(SOON).unwrap();
    assert_eq!((link.peer().uid(), link.peer().gid()), (Some(GUEST), Some(GUEST)));
    assert!(!link.peer().is_cooperating());
    link.send(b"welcome").unwrap();
    guest.expect("connected");
    assert_eq!(link.recv_timeout(SOON).unwrap(), *b"welcome");
}

/// A user outside the peer's user namespace has no number there, and is never admitted.
pub(crate) fn without_a_number(world: &World) {
    let address = public(world);
    let _listener = Options::new().allow_uid(GUEST).listen(&address).unwrap();
    let inside = world.command_at("guest", &address);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-current-user", "--"]).arg(inside.get_program()).args(inside.get_args());
    let Some(mut unknown) = guest(world, command) else { return };
    let told = unknown.line();
    if told.is_empty() {
        return world.skip("no user namespaces for everybody here");
    }
    assert!(told.contains("unknown in this user namespace"), "{told}");
}
