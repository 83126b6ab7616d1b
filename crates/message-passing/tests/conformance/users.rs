//! Processes of other users: kept out unless they are admitted, and never trusted by default.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use wharf_message_passing::{ConnectError, Options, Trust};
use wharf_sys::socket::{self, Kind};

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
    let told = std::thread::spawn(move || refused.line());
    // However long it takes to come.
    while !told.is_finished() {
        let nobody = listener.accept_timeout(Duration::from_millis(20)).map(|_| ());
        assert!(matches!(nobody, Err(ConnectError::Timeout { .. })), "{nobody:?}");
    }
    assert!(matches!(listener.last_refusal(), Some(ConnectError::OtherUser { uid: GUEST, ours: 0 })));
    assert_eq!(told.join().unwrap(), format!("the other side refused: it does not admit this user (uid {GUEST})"));
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

/// Into an end that the peer did not make this side does not speak: whoever made it would hear that. One that is trusted may have been
/// another user when he made it.
pub(crate) fn control_ends_of_others(world: &World) {
    let address = public(world);
    let path = address.strip_prefix("unix:").unwrap();
    for trust in [Trust::Auto, Trust::Hostile, Trust::Cooperating] {
        let mut listener = Options::new().allow_uid(GUEST).trust(trust).listen(&address).unwrap();
        let (_ear, ours) = socket::pair(Kind::SeqPacket).unwrap();
        let mut command = world.command_at("borrows-an-end", path);
        command.stderr(Stdio::from(ours));
        let Some(mut guest) = guest(world, command) else { return };
        let link = listener.accept_timeout(Duration::from_millis(500));
        let told = guest.line();
        if trust == Trust::Cooperating {
            assert!(link.is_ok() && told == "welcome", "{link:?}, {told}");
            continue;
        }
        assert!(matches!(link, Err(ConnectError::Timeout { .. })), "{trust:?}: {link:?}");
        let why = format!("its control connection belongs to uid 0, expected {GUEST}");
        let refused = listener.last_refusal().map(ToString::to_string);
        assert!(refused.as_ref().is_some_and(|it| it.ends_with(&why)), "{trust:?}: {refused:?}");
        assert!(told.ends_with(&why), "{trust:?}: {told}");
    }
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

/// Another user cannot lead this one to a socket that he does not mean by a link that he leaves in its place, whoever listens there.
pub(crate) fn links_of_others(world: &World) {
    let address = public(world);
    let socket = address.strip_prefix("unix:").unwrap();
    let at = |name: &str| world.path().join(name);
    std::os::unix::fs::symlink(socket, at("own")).unwrap();
    std::os::unix::fs::symlink("own", at("chain")).unwrap();
    std::os::unix::fs::symlink("loop", at("loop")).unwrap();
    let mut listener = world.options().listen(&address).unwrap();
    for name in ["own", "chain"] {
        let connecting = std::thread::spawn({
            let (options, address) = (world.options(), format!("unix:{}", at(name).display()));
            move || options.connect(address).unwrap()
        });
        let mut accepted = listener.accept_timeout(SOON).unwrap();
        connecting.join().unwrap().send(b"through a link of ours").unwrap();
        assert_eq!(accepted.recv_timeout(SOON).unwrap(), *b"through a link of ours");
    }
    let endless = world.options().connect(format!("unix:{}", at("loop").display())).map(drop);
    assert!(matches!(endless, Err(ConnectError::System { .. })), "{endless:?}");

    std::os::unix::fs::symlink(socket, at("theirs")).unwrap();
    std::os::unix::fs::symlink("theirs", at("ours-to-theirs")).unwrap();
    match std::os::unix::fs::lchown(at("theirs"), Some(GUEST), Some(GUEST)) {
        Ok(()) => {
            for name in ["theirs", "ours-to-theirs"] {
                let refused = world.options().connect(format!("unix:{}", at(name).display())).map(drop).unwrap_err();
                assert!(matches!(refused, ConnectError::NotASocket { .. }), "{refused:?}");
                assert!(refused.to_string().contains("found a symbolic link of another user"), "{refused}");
            }
            assert!(matches!(listener.try_accept(), Err(ConnectError::NobodyWaiting)));
        }
        Err(error) => world.skip(&format!("making a link another user's needs root ({error})")),
    }
    for name in ["own", "chain", "loop", "theirs", "ours-to-theirs"] {
        std::fs::remove_file(at(name)).unwrap();
    }
}

/// Over `pipe:` it is the FIFO's owner that counts, and he is looked at before it is opened.
pub(crate) fn kept_out_of_fifos(world: &World) {
    public(world);
    let path = world.path().join("public.fifo");
    let address = format!("pipe:{}", path.display());
    let mut listener = Options::new().listen(&address).unwrap();
    let Some(mut stranger) = guest(world, world.command_at("stranger", &address)) else { return };
    assert!(stranger.line().contains("the peer runs as uid 0, which this side (uid 12345) does not admit"));
    // One that would have it: the FIFO is for its owner alone.
    let Some(mut denied) = guest(world, world.command_at("guest", &address)) else { return };
    assert!(denied.line().starts_with(&format!("permission denied: this process (uid {GUEST})")));
    assert!(matches!(listener.try_accept(), Err(ConnectError::NobodyWaiting)));
    assert_eq!(listener.refusals(), 0);
    drop(listener);

    // The other way round: a guest's FIFO, which somebody reads.
    let made = Command::new("mkfifo").args(["-m", "666"]).arg(&path).status().unwrap();
    assert!(made.success());
    std::os::unix::fs::chown(&path, Some(GUEST), Some(GUEST)).unwrap();
    let mut held = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let refused = world.options().connect(&address).map(drop);
    assert!(matches!(refused, Err(ConnectError::OtherUser { uid: GUEST, ours: 0 })), "{refused:?}");
    // Nobody has knocked there.
    std::io::Write::write_all(&mut held, b"x").unwrap();
    let mut found = [0; 64];
    assert_eq!(std::io::Read::read(&mut held, &mut found).unwrap(), 1);
    std::fs::remove_file(&path).unwrap();
}
