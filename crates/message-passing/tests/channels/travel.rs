//! Ends on their way: who has them, what they are told to be, and what stays.

use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;

use wharf_message_passing::{Attachment, Options, RecvError, SendError, Transport, Trust, TypedReceiver};
use wharf_shared_memory::Region;

use crate::puppet::{CARRIERS, OVER, Puppet, canary, is_free, options, text};
use crate::world::{SOON, World, eventually};

pub(crate) fn to_another_process(world: &World) {
    for carrier in CARRIERS {
        for over in OVER {
            let mut puppet = Puppet::new(world, carrier);
            let (tx, mut rx) = Options::new().channel(over).unwrap();
            assert_eq!(puppet.give("take sender", &[Attachment::sender(tx).unwrap()]), "ok");
            puppet.tell("send-many 3000", &[]);
            for number in 0..3000_u64 {
                assert_eq!(rx.recv_timeout(SOON).unwrap(), number.to_le_bytes()[..], "{carrier} {over}");
            }
            assert_eq!(puppet.answer(), "ok");
            let (mut tx, rx) = Options::new().channel(over).unwrap();
            puppet.tell("take receiver", &[Attachment::receiver(rx).unwrap()]);
            assert_eq!(puppet.answer(), "ok");
            puppet.tell("recv-many 3000", &[]);
            for number in 0..3000_u64 {
                tx.send(&number.to_le_bytes()).unwrap();
            }
            assert_eq!(puppet.answer(), "ok", "{carrier} {over}");
            puppet.does("drop receiver");
            eventually("its sender is told", || matches!(tx.send(b"more"), Err(SendError::Closed)));
            drop(puppet);
        }
    }
}

/// From here to one process, back, and on to another, with what was sent before it left.
pub(crate) fn through_many_hands(world: &World) {
    for carrier in CARRIERS {
        for over in OVER {
            let (mut one, mut other) = (Puppet::new(world, carrier), Puppet::new(world, carrier));
            let (mut tx, rx) = Options::new().channel(over).unwrap();
            tx.send(b"early").unwrap();
            assert_eq!(one.give("take receiver", &[Attachment::receiver(rx).unwrap()]), "ok");
            let rx = one.brings("give receiver").take_receiver().unwrap();
            assert_eq!(other.give("take receiver", &[Attachment::receiver(rx).unwrap()]), "ok");
            assert_eq!(other.ask("recv"), "got early", "{carrier} {over}");
            tx.send(b"later").unwrap();
            assert_eq!(other.ask("recv"), "got later");
            // A channel of which both ends went through others, one of them straight from its maker.
            one.does(&format!("make {over}"));
            let tx = one.brings("give sender").take_sender().unwrap();
            assert_eq!(other.give("take sender", &[Attachment::sender(tx).unwrap()]), "ok");
            other.does("send across");
            assert_eq!(one.ask("recv"), "got across");
        }
    }
}

pub(crate) fn many_at_once(world: &World) {
    for over in OVER {
        let mut puppet = Puppet::new(world, "unix");
        let mut receivers = Vec::new();
        let mut attachments = Vec::new();
        for _ in 0..4 {
            let (tx, rx) = Options::new().channel(over).unwrap();
            attachments.push(Attachment::sender(tx).unwrap());
            receivers.push(rx);
        }
        // The first is taken, and the others are closed with the message.
        assert_eq!(puppet.give("take sender", &attachments), "ok");
        puppet.does("send one");
        assert_eq!(receivers[0].recv_timeout(SOON).unwrap(), *b"one");
        for rx in &mut receivers[1..] {
            assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::PeerDied)), "{over}: nobody took it");
        }
        drop(attachments);
        assert!(matches!(receivers[0].try_recv(), Err(RecvError::Empty)), "the first lives there");
    }
}

pub(crate) fn used_ends_stay(world: &World) {
    for over in OVER {
        let (mut tx, mut rx) = Options::new().channel(over).unwrap();
        tx.send(b"used").unwrap();
        let error = Attachment::sender(tx).unwrap_err();
        assert!(error.to_string().contains("it was used"), "{error}");
        let mut tx = error.into_end();
        tx.send(b"goes on").unwrap();
        assert_eq!(rx.recv().unwrap(), *b"used");
        let mut rx = Attachment::receiver(rx).unwrap_err().into_end();
        assert_eq!(rx.recv().unwrap(), *b"goes on", "{over}");
        // A receiver that has looked and found nothing was used as well.
        let (_tx, mut rx) = Options::new().channel(over).unwrap();
        assert!(matches!(rx.try_recv(), Err(RecvError::Empty)));
        assert!(Attachment::receiver(rx).is_err());
    }
    let mut listener = options(world).listen("inproc:link").unwrap();
    let (link, accepted) = (options(world).connect("inproc:link").unwrap(), listener.accept());
    let (tx, _) = link.split();
    let error = Attachment::sender(tx).unwrap_err();
    assert!(error.to_string().contains("an end of a link"), "{error}");
    drop(accepted);
}

pub(crate) fn sent_twice(world: &World) {
    let mut puppet = Puppet::new(world, "unix");
    let (tx, mut rx) = Options::new().channel(Transport::Unix).unwrap();
    let attachments = [Attachment::sender(tx).unwrap()];
    assert_eq!(puppet.give("take sender", &attachments), "ok");
    let told = puppet.link.send_with(b"take sender", &attachments).unwrap_err();
    assert!(matches!(&told, SendError::CannotCarry(why) if why.contains("was sent before")), "{told}");
    // The attachment is nothing here any more, although it is still kept.
    puppet.process.kill();
    assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::PeerDied)));
    drop(attachments);
}

pub(crate) fn unsent_stays_usable(world: &World) {
    for over in OVER {
        let mut puppet = Puppet::new(world, "unix");
        let (tx, mut rx) = Options::new().channel(over).unwrap();
        let attachments = [Attachment::sender(tx).unwrap()];
        // Too large for one call that does not wait: nothing was sent.
        let told = puppet.link.sender().try_send_with(&vec![0; 1 << 20], &attachments).unwrap_err();
        assert!(matches!(told, SendError::NeedsWait { .. }), "{told}");
        let mut listener = options(world).listen("inproc:bytes-only").unwrap();
        let mut link = options(world).connect("inproc:bytes-only").unwrap();
        let told = link.send_with(b"take", &attachments).unwrap_err();
        assert!(matches!(told, SendError::CannotCarry(_)), "{told}");
        drop((link, listener.accept()));
        assert_eq!(puppet.give("take sender", &attachments), "ok");
        puppet.does("send after-all");
        assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"after-all", "{over}");
    }
}

pub(crate) fn another_type(world: &World) {
    for over in OVER {
        let mut puppet = Puppet::new(world, "unix");
        let (tx, mut rx) = Options::new().channel_typed::<u64>(over).unwrap();
        assert_eq!(puppet.give("take number-sender", &[Attachment::end(tx).unwrap()]), "ok");
        assert_eq!(*rx.recv_timeout(SOON).unwrap(), 42);
        let (tx, rx) = Options::new().channel_typed::<[u32; 3]>(over).unwrap();
        let told = puppet.give("take number-sender", &[Attachment::end(tx).unwrap()]);
        assert!(told.contains("u64 (8 bytes") && told.contains("array (12 bytes"), "{over}: {told}");
        let mut rx: TypedReceiver<[u32; 3]> = rx;
        assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::PeerDied)), "what does not pass is closed");
        let (tx, _rx) = Options::new().channel_serde::<u64>(over).unwrap();
        let told = puppet.give("take sender", &[Attachment::end(tx).unwrap()]);
        assert!(told.contains("plain bytes") && told.contains("postcard"), "{told}");
    }
}

pub(crate) fn another_end(world: &World) {
    let mut puppet = Puppet::new(world, "unix");
    let (tx, rx) = Options::new().channel(Transport::Shm).unwrap();
    let told = puppet.give("take sender", &[Attachment::receiver(rx).unwrap()]);
    assert_eq!(told, "expected the sender of a channel, found its receiver");
    let told = puppet.give("take receiver", &[Attachment::sender(tx).unwrap()]);
    assert_eq!(told, "expected the receiver of a channel, found its sender");
}

pub(crate) fn no_end_at_all(world: &World) {
    let mut puppet = Puppet::new(world, "unix");
    let (reader, _writer) = canary();
    let told = puppet.give("take sender", &[Attachment::from(reader.as_fd())]);
    assert!(told.contains("expected the sender of a channel") && told.contains("no Unix socket"), "{told}");
    let file = std::fs::File::open("/proc/self/status").unwrap();
    assert!(puppet.give("take receiver", &[Attachment::from(file.as_fd())]).contains("no Unix socket"));
    let (fresh, _other) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let told = puppet.give("take sender", &[Attachment::from(fresh.as_fd())]);
    assert!(told.contains("no note"), "{told}");
    let told = puppet.ask("take sender");
    assert!(told.contains("no attachment"), "{told}");
}

/// An end that travels over its own channel and is never taken: nobody can reach it, and the kernel frees it.
pub(crate) fn over_itself(_: &World) {
    for over in OVER {
        let (reader, writer) = canary();
        let (mut tx, rx) = Options::new().channel(over).unwrap();
        let attachments = [Attachment::receiver(rx).unwrap(), Attachment::from(OwnedFd::from(writer))];
        tx.send_with(b"myself", &attachments).unwrap();
        drop(attachments);
        assert!(!is_free(&reader), "{over}: it waits in the channel");
        drop(tx);
        eventually("the kernel has freed it", || {
            // It looks for what nobody reaches when sockets are closed.
            drop(Options::new().channel(Transport::Unix).unwrap());
            is_free(&reader)
        });
    }
}

pub(crate) fn in_a_link_that_cannot(world: &World) {
    let mut listener = options(world).listen("pipe:bytes").unwrap();
    std::thread::scope(|scope| {
        let there = scope.spawn(|| listener.accept_timeout(SOON).unwrap());
        let mut link = options(world).connect("pipe:bytes").unwrap();
        let (tx, mut rx) = Options::new().channel(Transport::Shm).unwrap();
        let told = link.send_with(b"take", &[Attachment::sender(tx).unwrap()]).unwrap_err();
        assert!(matches!(told, SendError::CannotCarry(_)), "{told}");
        // The attachment was dropped with the end in it, in good order.
        assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::Closed)));
        drop((link, there.join().unwrap()));
    });
}

/// Channels carry what links carry: descriptors, and ends of other channels.
pub(crate) fn attachments_of_a_channel(world: &World) {
    for over in OVER {
        let mut puppet = Puppet::new(world, "unix");
        let (tx, mut rx) = Options::new().channel(over).unwrap();
        assert_eq!(puppet.give("take sender", &[Attachment::sender(tx).unwrap()]), "ok");
        let (reader, writer) = canary();
        assert_eq!(puppet.give("send-back", &[Attachment::from(OwnedFd::from(writer))]), "ok");
        let mut message = rx.recv_timeout(SOON).unwrap();
        assert_eq!(text(&message), "back");
        let back = message.take_fd().unwrap();
        assert!(!is_free(&reader));
        drop(back);
        eventually("it is closed", || is_free(&reader));
        // An end through a channel in one thread, before its first message.
        let (mut outer, mut inner) = Options::new().channel(over).unwrap();
        let (tx, mut rx) = Options::new().channel(Transport::Shm).unwrap();
        outer.send_with(b"reply here", &[Attachment::sender(tx).unwrap()]).unwrap();
        inner.recv().unwrap().take_sender().unwrap().send(b"done").unwrap();
        assert_eq!(rx.recv().unwrap(), *b"done");
    }
}

pub(crate) fn regions_for_whom_is_trusted(_: &World) {
    let region = Region::<wharf_shared_memory::Mutex<u64>>::anonymous().unwrap();
    for over in OVER {
        let (mut tx, mut rx) = Options::new().channel(over).unwrap();
        let told = tx.send_with(b"region", &[Attachment::region(&region).unwrap()]).unwrap_err();
        assert!(matches!(&told, SendError::CannotCarry(why) if why.contains("nobody has used")), "{over}: {told}");
        assert!(matches!(rx.try_recv(), Err(RecvError::Empty)), "nothing was sent");
        tx.send(b"hello").unwrap();
        rx.recv().unwrap();
        tx.send_with(b"region", &[Attachment::region(&region).unwrap()]).unwrap();
        let mut message = rx.recv().unwrap();
        *message.take_region::<wharf_shared_memory::Mutex<u64>>().unwrap().lock().unwrap() += 1;
        let (mut tx, mut rx) = Options::new().trust(Trust::Hostile).channel(over).unwrap();
        tx.send(b"hello").unwrap();
        rx.recv().unwrap();
        let told = tx.send_with(b"region", &[Attachment::region(&region).unwrap()]).unwrap_err();
        assert!(matches!(&told, SendError::CannotCarry(why) if why.contains("this one is not")), "{over}: {told}");
    }
    assert_eq!(*region.lock().unwrap(), 2);
}

/// The one link that a program is started with is enough to give it any number of channels.
pub(crate) fn to_a_started_program(world: &World) {
    for carrier in CARRIERS {
        for over in OVER {
            let transport = *Transport::ALL.iter().find(|it| it.scheme() == *carrier).unwrap();
            let mut command = world.command("started", &[]);
            command.stdin(Stdio::null()).stdout(Stdio::null());
            let (mut child, mut link) = Options::new().spawn(transport, command).unwrap();
            let (tx, mut rx) = Options::new().channel(over).unwrap();
            let (mut requests, there) = Options::new().channel(over).unwrap();
            link.send_with(b"take sender", &[Attachment::sender(tx).unwrap()]).unwrap();
            link.send_with(b"take receiver", &[Attachment::receiver(there).unwrap()]).unwrap();
            requests.send(b"work").unwrap();
            link.send(b"recv").unwrap();
            link.send(b"send done").unwrap();
            let answers: Vec<String> = (0..4).map(|_| text(&link.recv_timeout(SOON).unwrap())).collect();
            assert_eq!(answers, ["ok", "ok", "got work", "ok"], "{carrier} {over}");
            assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"done");
            drop(link);
            assert!(child.wait().unwrap().success());
            // It ended in good order, and with it its ends.
            assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::Closed)), "{carrier} {over}");
            assert!(matches!(requests.send(b"more"), Err(SendError::Closed)), "{carrier} {over}");
        }
    }
}
