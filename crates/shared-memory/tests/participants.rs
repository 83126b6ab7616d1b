//! Many processes at one region: who makes it, who gets a slot, and what becomes of the slots of the dead.
#![allow(unsafe_code)]

mod actors;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use actors::{Actor, PATIENCE, Stage, listen, part, skip, stage_options, tell};
use rustix::process::Signal;
use wharf_shared_memory::region;
use wharf_shared_memory::{LockError, Mutex, Region, RegionError, RegionOptions};

const RACERS: usize = 8;
const ROUNDS: u64 = 60;

/// What the other processes do. In an ordinary run there is no part, and nothing is played.
#[test]
fn actor() {
    let Some(part) = part() else { return };
    match part.as_str() {
        "race" => {
            tell("ready");
            // One round for each line; the name is new in each, so creation is raced for.
            while let Some(name) = listen() {
                let region: Region<Mutex<u64>> = stage_options().open_or_create(&name).unwrap();
                *region.lock().unwrap() += 1;
                tell("counted");
            }
        }
        "open and unlink" => {
            tell("ready");
            listen();
            let mut opened = 0;
            for round in 0..ROUNDS {
                match stage_options().open_or_create::<Mutex<u64>>("restless") {
                    Ok(region) => {
                        *region.lock().unwrap() += 1;
                        opened += 1;
                    }
                    Err(RegionError::Restless { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
                if round % 3 == 0 {
                    match region::unlink("restless") {
                        Ok(()) | Err(RegionError::NotFound { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            }
            tell(if opened > 0 { "opened" } else { "never opened" });
        }
        "stay" => {
            let region: Region<Mutex<u64>> = stage_options().attach("full").unwrap();
            std::mem::forget(region.lock());
            tell(&Region::slot(&region).unwrap().to_string());
            listen();
        }
        "stay and fork" => {
            let region: Region<Mutex<u64>> = stage_options().attach("full").unwrap();
            // SAFETY: the child calls nothing but `read` and `_exit`, which are safe after a fork.
            if unsafe { libc::fork() } == 0 {
                let mut byte = 0_u8;
                // SAFETY: the pointer is to one live byte. Returns when the test lets go of the pipe.
                unsafe { libc::read(0, (&raw mut byte).cast(), 1) };
                // SAFETY: ends the child without running what belongs to the parent.
                unsafe { libc::_exit(0) };
            }
            tell(&Region::slot(&region).unwrap().to_string());
            std::thread::sleep(PATIENCE);
        }
        "say your number and hold" => {
            let region: Region<Mutex<u64>> = stage_options().attach("boxes").unwrap();
            tell(&std::process::id().to_string());
            listen();
            match region.lock_timeout(PATIENCE) {
                Ok(guard) => std::mem::forget(guard),
                Err(LockError::OwnerDied(guard)) => std::mem::forget(guard.repaired()),
                Err(other) => panic!("{other}"),
            }
            tell("held");
            listen();
        }
        "say your number and try" => {
            let region: Region<Mutex<u64>> = stage_options().attach("boxes").unwrap();
            tell(&std::process::id().to_string());
            while listen().is_some() {
                tell(match region.lock_timeout(Duration::from_millis(150)) {
                    Ok(_) => "in order",
                    Err(LockError::OwnerDied(guard)) => {
                        drop(guard.repaired());
                        "owner died"
                    }
                    Err(LockError::Timeout) => "timeout",
                    Err(other) => panic!("{other}"),
                });
            }
        }
        "use a number again" => tell(&match use_a_number_again() {
            Ok(()) => "told apart".to_owned(),
            Err(why) => format!("not possible: {why}"),
        }),
        "attach" => {
            let region: Region<Mutex<u64>> = stage_options().attach("numbers").unwrap();
            tell("attached");
            listen();
            drop(region);
        }
        "attach and hold" => {
            let region: Region<Mutex<u64>> = stage_options().attach("numbers").unwrap();
            std::mem::forget(region.lock());
            tell("attached");
            listen();
        }
        "attach and try" => {
            let region: Region<Mutex<u64>> = stage_options().attach("numbers").unwrap();
            tell(try_it(&region));
        }
        "attach, lose proc, and try" => {
            let region: Region<Mutex<u64>> = stage_options().attach("numbers").unwrap();
            let gone = Command::new("mount").args(["-t", "tmpfs", "none", "/proc"]).status().unwrap();
            assert!(gone.success() && !std::path::Path::new("/proc/self").exists());
            tell(try_it(&region));
        }
        "look through every proc" => tell(&match look_through_every_proc() {
            Ok(()) => "nobody taken for dead".to_owned(),
            Err(why) => format!("not possible: {why}"),
        }),
        "move to another clock and try" => tell(&move_to_another_clock_and_try()),
        "execute itself on an overlay" => {
            let path = std::env::var_os("WHARF_TEST_OVERLAY").unwrap();
            let options = RegionOptions::new().max_participants(2);
            let region: Region<Mutex<u64>> = options.open_or_create_file(path).unwrap();
            let before: u32 = std::env::var("WHARF_TEST_IMAGE").map_or(0, |before| before.parse().unwrap());
            match region.lock_timeout(PATIENCE) {
                Ok(guard) if before == 0 => std::mem::forget(guard),
                Err(LockError::OwnerDied(guard)) if before > 0 => std::mem::forget(guard.repaired()),
                other => panic!("after {before}: {other:?}"),
            }
            tell(&format!("has it after {before}"));
            if before == 4 {
                // One that has only closed its descriptors keeps what it has, by the judgement of another attachment.
                for fd in 3..1024 {
                    // SAFETY: nothing in this process uses them any more but the region, which must do without.
                    unsafe { libc::close(fd) };
                }
                let path = std::env::var_os("WHARF_TEST_OVERLAY").unwrap();
                let again: Region<Mutex<u64>> = options.attach_file(path).unwrap();
                let outcome = again.lock_timeout(Duration::from_millis(100));
                tell(&format!("without descriptors: {}", matches!(outcome, Err(LockError::Timeout))));
                listen();
                // The library's own descriptors are gone: closing them again would hit others.
                std::process::exit(0);
            }
            use std::os::unix::process::CommandExt;
            let mut again = Command::new(std::env::current_exe().unwrap());
            again.args(["--exact", "actor", "--nocapture", "--test-threads=1"]);
            panic!("{}", again.env("WHARF_TEST_IMAGE", (before + 1).to_string()).exec());
        }
        "execute itself" => {
            let region: Region<Mutex<u64>> = stage_options().attach("images").unwrap();
            // The program before this one held it, in the same process.
            let first = std::env::var_os("WHARF_TEST_IMAGE").is_none();
            match region.lock_timeout(PATIENCE) {
                Ok(guard) if first => std::mem::forget(guard),
                Err(LockError::OwnerDied(guard)) if !first => std::mem::forget(guard.repaired()),
                other => panic!("first: {first}, {other:?}"),
            }
            tell(&Region::slot(&region).unwrap().to_string());
            listen();
            use std::os::unix::process::CommandExt;
            let mut again = Command::new(std::env::current_exe().unwrap());
            again.args(["--exact", "actor", "--nocapture", "--test-threads=1"]).env("WHARF_TEST_IMAGE", "another");
            panic!("{}", again.exec());
        }
        "lose the descriptors and try" => {
            let region: Region<Mutex<u64>> = stage_options().attach("numbers").unwrap();
            for fd in 3..1024 {
                // SAFETY: nothing in this process uses them any more but the region, which must do without.
                unsafe { libc::close(fd) };
            }
            // Their numbers go to other files first, then to another description of the region.
            let other = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
            let others: Vec<_> = (0..32).map(|_| other.try_clone().unwrap()).collect();
            let before = try_it(&region);
            others.into_iter().for_each(drop);
            drop(other);
            let again: Region<Mutex<u64>> = stage_options().attach("numbers").unwrap();
            tell(&format!("{before}, {}, {}", try_it(&region), try_it(&again)));
            listen();
            // The library's own descriptors are gone: closing them again would hit others.
            std::process::exit(0);
        }
        other => panic!("there is no part {other:?}"),
    }
}

/// Tries for long enough to ask about the holder several times.
fn try_it(region: &Mutex<u64>) -> &'static str {
    match region.lock_timeout(Duration::from_millis(150)) {
        Ok(_) => "in order",
        Err(LockError::OwnerDied(guard)) => {
            drop(guard.repaired());
            "owner died"
        }
        Err(LockError::Timeout) => "timeout",
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn of_many_that_open_or_create_at_once_exactly_one_creates() {
    let stage = Stage::new();
    let _directory = stage.domain();
    let mut racers = [(); RACERS].map(|()| Actor::start(&stage, "race"));
    racers.iter().for_each(|racer| racer.expect("ready"));
    for round in 0..20 {
        let name = format!("round-{round}");
        racers.iter_mut().for_each(|racer| racer.say(&name));
        racers.iter().for_each(|racer| racer.expect("counted"));
        // Had two of them made a region, one count would be in the other one.
        let region: Region<Mutex<u64>> = stage.options().attach(&name).unwrap();
        assert_eq!(*region.lock().unwrap(), RACERS as u64, "{name}");
        region::unlink_in(&stage.domain(), &name).unwrap();
    }
    racers.iter_mut().for_each(|racer| assert!(racer.finish().success()));
    assert_eq!(stage.remains(), [""; 0]);
}

#[test]
fn open_or_create_copes_with_a_name_that_others_unlink_meanwhile() {
    let stage = Stage::new();
    let _directory = stage.domain();
    let mut racers = [(); RACERS].map(|()| Actor::start(&stage, "open and unlink"));
    racers.iter().for_each(|racer| racer.expect("ready"));
    racers.iter_mut().for_each(|racer| racer.say("go"));
    racers.iter().for_each(|racer| racer.expect("opened"));
    racers.iter_mut().for_each(|racer| assert!(racer.finish().success()));
    let _may_be_gone = region::unlink_in(&stage.domain(), "restless");
    assert_eq!(stage.remains(), [""; 0]);
}

#[test]
fn a_full_table_says_its_limit_and_who_leaves_makes_room() {
    let stage = Stage::new();
    let options = stage.options().max_participants(3);
    let first: Region<Mutex<u64>> = options.create("full").unwrap();
    let second: Region<Mutex<u64>> = options.attach("full").unwrap();
    let third: Region<Mutex<u64>> = options.attach("full").unwrap();
    for error in
        [options.attach::<Mutex<u64>>("full").unwrap_err(), options.open_or_create::<Mutex<u64>>("full").unwrap_err()]
    {
        assert!(matches!(error, RegionError::Full { limit: 3, .. }), "{error:?}");
        assert!(error.to_string().contains("3 participants"), "{error}");
    }
    let slot = Region::slot(&second);
    drop(second);
    let fourth: Region<Mutex<u64>> = options.attach("full").unwrap();
    assert_eq!(Region::slot(&fourth), slot);
    // Looking without a slot works in a full table too.
    assert!(options.attach_read_only::<Mutex<u64>>("full").is_ok());
    assert_eq!(region::inspect_in(&stage.domain(), "full").unwrap().participants.len(), 3);
    *third.lock().unwrap() += 1;
    assert_eq!(*first.lock().unwrap(), 1);
}

#[test]
fn slots_of_the_dead_are_taken_again_and_their_locks_are_not_mistaken_for_the_newcomers() {
    let stage = Stage::new();
    let options = stage.options().max_participants(2);
    let region: Region<Mutex<u64>> = options.create("full").unwrap();
    for round in 1..=5_u32 {
        // It dies with the lock held; whoever comes next may get its slot.
        let mut holder = Actor::start(&stage, "stay");
        assert_eq!(holder.hear(), "1");
        assert!(matches!(options.attach::<Mutex<u64>>("full"), Err(RegionError::Full { .. })));
        holder.kill();
        let info = region::inspect_in(&stage.domain(), "full").unwrap();
        assert!(info.participants.iter().any(|one| one.slot == 1 && !one.alive), "{info:?}");
        let newcomer: Region<Mutex<u64>> = options.attach("full").unwrap();
        assert_eq!(Region::slot(&newcomer), Some(1));
        let info = region::inspect_in(&stage.domain(), "full").unwrap();
        let same = info.participants.iter().find(|one| one.slot == 1).unwrap();
        assert!(same.alive && same.generation == 2 * round, "{same:?}");
        // The lock word names slot 1 in its earlier generation: proof, without asking the system.
        let start = Instant::now();
        match region.lock_timeout(PATIENCE) {
            Err(LockError::OwnerDied(guard)) => drop(guard.repaired()),
            other => panic!("{other:?}"),
        }
        assert!(start.elapsed() < PATIENCE / 10, "{:?}", start.elapsed());
        assert!(newcomer.try_lock().is_ok());
    }
}

#[test]
fn threads_that_attach_and_leave_at_once_never_share_a_slot() {
    let stage = Stage::new();
    let options = stage.options().max_participants(6);
    let _kept: Region<Mutex<u64>> = options.create("busy").unwrap();
    let taken: [std::sync::atomic::AtomicBool; 6] = Default::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let region: Region<Mutex<u64>> = options.attach("busy").unwrap();
                    let slot = &taken[Region::slot(&region).unwrap() as usize];
                    assert!(!slot.swap(true, std::sync::atomic::Ordering::SeqCst));
                    *region.lock().unwrap() += 1;
                    slot.store(false, std::sync::atomic::Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(*_kept.lock().unwrap(), 800);
}

#[test]
fn a_stopped_process_keeps_its_slot_and_a_zombie_does_not() {
    let stage = Stage::new();
    let options = stage.options().max_participants(2);
    let _region: Region<Mutex<u64>> = options.create("full").unwrap();
    let holder = Actor::start(&stage, "stay");
    assert_eq!(holder.hear(), "1");
    holder.signal(Signal::STOP);
    for _ in 0..20 {
        assert!(matches!(options.attach::<Mutex<u64>>("full"), Err(RegionError::Full { .. })));
        std::thread::sleep(Duration::from_millis(5));
    }
    holder.kill_only();
    // Nobody has collected it.
    assert_eq!(Region::slot(&attach_soon(&options, "full")), Some(1));
}

#[test]
fn a_forked_child_does_not_keep_the_slot_of_its_dead_parent() {
    let stage = Stage::new();
    let options = stage.options().max_participants(2);
    let _region: Region<Mutex<u64>> = options.create("full").unwrap();
    let parent = Actor::start(&stage, "stay and fork");
    assert_eq!(parent.hear(), "1");
    assert!(matches!(options.attach::<Mutex<u64>>("full"), Err(RegionError::Full { .. })));
    parent.kill_only();
    // The child lives until the test lets go of its parent's input.
    assert_eq!(Region::slot(&attach_soon(&options, "full")), Some(1));
}

/// Attaches as soon as there is a slot.
fn attach_soon(options: &wharf_shared_memory::RegionOptions, name: &str) -> Region<Mutex<u64>> {
    let start = Instant::now();
    loop {
        match options.attach(name) {
            Ok(region) => return region,
            Err(RegionError::Full { .. }) if start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// A command that puts the program whose path follows into a pid namespace of its own, where it is number 1; `None` if the
/// machine does not let us.
fn boxed(test: &str) -> Option<Command> {
    const WORDS: [&str; 4] = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let probe = Command::new("unshare").args(WORDS).arg("true").status();
    if !probe.is_ok_and(|status| status.success()) {
        skip(test, "this machine makes no pid namespaces for us");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(WORDS).arg(std::env::current_exe().unwrap());
    Some(command)
}

#[test]
fn two_containers_with_equal_pids_are_told_apart() {
    const NAME: &str = "two_containers_with_equal_pids_are_told_apart";
    let stage = Stage::new();
    let region: Region<Mutex<u64>> = stage.options().create("boxes").unwrap();
    let start = |part: &str| boxed(NAME).map(|through| Actor::start_through(&stage, part, through));
    let Some(mut one) = start("say your number and hold") else { return };
    let Some(mut other) = start("say your number and try") else { return };
    assert_eq!((one.hear().as_str(), other.hear().as_str()), ("1", "1"));
    other.say("");
    other.expect("in order");
    one.say("");
    one.expect("held");
    // That its own number is alive, or is its own, must not tell the other anything.
    other.say("");
    other.expect("timeout");
    let holder = region.holder().unwrap();
    assert!(holder.alive && holder.pid == Some(1), "{holder:?}");
    assert!(matches!(region.lock_timeout(Duration::from_millis(50)), Err(LockError::Timeout)));
    one.kill();
    let start_waiting = Instant::now();
    // Its box ends a moment after the program that made it.
    let said = loop {
        other.say("");
        match other.hear().as_str() {
            "timeout" if start_waiting.elapsed() < PATIENCE => {}
            said => break said.to_owned(),
        }
    };
    assert_eq!(said, "owner died");
    // The other way round: the dead one was number 1, the one that looks is number 1, and a third one is.
    let Some(mut third) = start("say your number and hold") else { return };
    third.expect("1");
    third.say("");
    third.expect("held");
    other.say("");
    other.expect("timeout");
    drop(other);
    assert!(matches!(region.lock_timeout(Duration::from_millis(50)), Err(LockError::Timeout)));
    third.kill();
    assert!(matches!(region.lock_timeout(PATIENCE), Err(LockError::OwnerDied(_))));
}

#[test]
fn a_number_that_is_used_again_does_not_revive_the_dead() {
    const NAME: &str = "a_number_that_is_used_again_does_not_revive_the_dead";
    let stage = Stage::new();
    let region: Region<Mutex<u64>> = stage.options().create("numbers").unwrap();
    let Some(through) = boxed(NAME) else { return };
    let director = Actor::start_through(&stage, "use a number again", through);
    match director.hear().as_str() {
        "told apart" => {}
        said if said.starts_with("not possible") => skip(NAME, said),
        other => panic!("{other}"),
    }
    drop(director);
    drop(region);
}

/// In a pid namespace of its own: a process dies with the lock, its number goes to another one, and then the lock is wanted.
/// An error says why this machine cannot show it.
fn use_a_number_again() -> Result<(), String> {
    let region: Region<Mutex<u64>> = stage_options().attach("numbers").unwrap();
    // The one that gets the number is a stranger to the region, then one that attaches to it.
    for newcomer in ["race", "attach"] {
        let mut holder = play("attach and hold");
        assert!(matches!(region.lock_timeout(Duration::from_millis(20)), Err(LockError::Timeout)));
        let number = holder.id();
        holder.kill().unwrap();
        holder.wait().unwrap();
        let mut heir = None;
        // Bound: somebody else may get the number first, hardly so often.
        for _ in 0..100 {
            std::fs::write("/proc/sys/kernel/ns_last_pid", (number - 1).to_string())
                .map_err(|error| format!("ns_last_pid: {error}"))?;
            let mut next = play(newcomer);
            if next.id() == number {
                heir = Some(next);
                break;
            }
            next.kill().unwrap();
            next.wait().unwrap();
        }
        let mut heir = heir.ok_or("the number did not come back")?;
        let start = Instant::now();
        match region.lock_timeout(PATIENCE) {
            Err(LockError::OwnerDied(guard)) => drop(guard.repaired()),
            other => panic!("{newcomer}: {other:?}"),
        }
        assert!(start.elapsed() < PATIENCE / 10, "{newcomer}: {:?}", start.elapsed());
        heir.kill().unwrap();
        heir.wait().unwrap();
    }
    Ok(())
}

/// Starts an actor from an actor, and waits for its first word.
fn play(part: &str) -> Child {
    play_through(Command::new(std::env::current_exe().unwrap()), part).0
}

/// The same through a command that starts the program whose path is its last word. Also says what the first word was.
fn play_through(mut command: Command, part: &str) -> (Child, String) {
    command.args(["--exact", "actor", "--nocapture", "--test-threads=1"]).env("WHARF_TEST_PART", part);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let word = lines.find_map(|line| line.split_once("actor: ").map(|(_, word)| word.to_owned()));
    // What it says after that finds somebody who reads it.
    std::thread::spawn(move || lines.for_each(drop));
    (child, word.unwrap_or_else(|| panic!("{part} says nothing")))
}

/// A command for a program that sees the `/proc` of the namespace around ours, which was there before our own was mounted.
fn seeing_the_proc_around() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "umount /proc && exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    command
}

/// A command for a program with mounts of its own.
fn with_its_own_mounts() -> Command {
    let mut command = Command::new("unshare");
    command.arg("--mount").arg(std::env::current_exe().unwrap());
    command
}

/// In a pid namespace of its own, whose `/proc` is right: holders and those who want the lock see this one, that of the
/// namespace around, or none. An error says why this machine cannot show it.
fn look_through_every_proc() -> Result<(), String> {
    let probe = Command::new("unshare").args(["--mount", "sh", "-c", "umount /proc && test -e /proc/self"]).status();
    if !probe.is_ok_and(|status| status.success()) {
        return Err("the proc around cannot be seen".to_owned());
    }
    let region: Region<Mutex<u64>> = stage_options().attach("numbers").unwrap();
    let ways = [|| Command::new(std::env::current_exe().unwrap()), seeing_the_proc_around];
    for (holders, holds) in ways.into_iter().enumerate() {
        let (mut holder, _) = play_through(holds(), "attach and hold");
        assert_eq!(try_it(&region), "timeout", "holder {holders}");
        for (judges, tries) in ways.into_iter().enumerate() {
            let (mut judge, said) = play_through(tries(), "attach and try");
            assert_eq!(said, "timeout", "holder {holders}, judge {judges}");
            judge.wait().unwrap();
        }
        let (mut judge, said) = play_through(with_its_own_mounts(), "attach, lose proc, and try");
        assert_eq!(said, "timeout", "holder {holders}");
        judge.wait().unwrap();
        holder.kill().unwrap();
        holder.wait().unwrap();
        // The one that does not see it in its own numbers is told of the death too.
        let (mut judge, said) = play_through(seeing_the_proc_around(), "attach and try");
        assert_eq!(said, "owner died", "holder {holders}");
        judge.wait().unwrap();
        assert_eq!(try_it(&region), "in order", "holder {holders}");
    }
    Ok(())
}

/// In a child, which has a single thread as the kernel wants it: attaches, moves to a time namespace whose clocks are ahead,
/// and tries for the lock before and after. Says how it went.
fn move_to_another_clock_and_try() -> String {
    const IMPOSSIBLE: i32 = 100;
    let words = ["in order", "owner died", "timeout"];
    // SAFETY: this process has no other thread that holds a lock which the child needs, and the child leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let said = std::panic::catch_unwind(|| {
            let region: Region<Mutex<u64>> = stage_options().attach("numbers").unwrap();
            if try_it(&region) != "timeout" {
                return 99;
            }
            // SAFETY: concerns children only, until the process moves there itself.
            let mut moved = unsafe { libc::unshare(libc::CLONE_NEWTIME) } == 0
                && std::fs::write("/proc/self/timens_offsets", "boottime 100000 0\n").is_ok();
            if let Ok(there) = std::fs::File::open("/proc/self/ns/time_for_children") {
                use std::os::fd::AsRawFd;
                // SAFETY: the descriptor is that of a time namespace.
                moved = moved && unsafe { libc::setns(there.as_raw_fd(), libc::CLONE_NEWTIME) } == 0;
            }
            if !moved {
                return IMPOSSIBLE;
            }
            let said = try_it(&region);
            words.iter().position(|&word| word == said).map_or(98, |at| at as i32)
        });
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(said.unwrap_or(97)) };
    }
    let mut status = 0;
    // SAFETY: the pointer is to a live integer, and the child is ours.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    match libc::WEXITSTATUS(status) {
        IMPOSSIBLE => format!("not possible: {}", std::io::Error::last_os_error()),
        code => words.get(code as usize).map_or_else(|| format!("status {status:x}"), |&word| word.to_owned()),
    }
}

#[test]
fn through_the_proc_of_another_namespace_nobody_is_taken_for_dead() {
    const NAME: &str = "through_the_proc_of_another_namespace_nobody_is_taken_for_dead";
    let stage = Stage::new();
    let _region: Region<Mutex<u64>> = stage.options().create("numbers").unwrap();
    let Some(through) = boxed(NAME) else { return };
    let director = Actor::start_through(&stage, "look through every proc", through);
    match director.hear().as_str() {
        "nobody taken for dead" => {}
        said if said.starts_with("not possible") => skip(NAME, said),
        other => panic!("{other}"),
    }
}

#[test]
fn one_that_moved_to_another_clock_takes_nobody_for_dead() {
    const NAME: &str = "one_that_moved_to_another_clock_takes_nobody_for_dead";
    let stage = Stage::new();
    let _region: Region<Mutex<u64>> = stage.options().create("numbers").unwrap();
    let holder = Actor::start(&stage, "attach and hold");
    holder.expect("attached");
    let mover = Actor::start(&stage, "move to another clock and try");
    match mover.hear().as_str() {
        "timeout" => {}
        said if said.starts_with("not possible") => skip(NAME, said),
        other => panic!("{other}"),
    }
}

#[test]
fn a_program_that_executes_itself_gets_back_what_it_held_and_no_slot_is_lost() {
    execute_itself(|stage| Actor::start(stage, "execute itself"));
}

/// Where the program after it is not told from the one before by its addresses: the anchor alone has to prove it.
#[test]
fn a_program_that_executes_itself_at_the_same_addresses_gets_back_what_it_held() {
    if !Command::new("setarch").args(["--addr-no-randomize", "true"]).status().is_ok_and(|it| it.success()) {
        let why = "addresses cannot be fixed with setarch";
        return skip("a_program_that_executes_itself_at_the_same_addresses_gets_back_what_it_held", why);
    }
    execute_itself(|stage| {
        let mut command = Command::new("setarch");
        command.arg("--addr-no-randomize").arg(std::env::current_exe().unwrap());
        Actor::start_through(stage, "execute itself", command)
    });
}

fn execute_itself(start: impl Fn(&Stage) -> Actor) {
    let stage = Stage::new();
    // The test, the program before, and the one after it.
    let options = stage.options().max_participants(3);
    let region: Region<Mutex<u64>> = options.create("images").unwrap();
    let mut program = start(&stage);
    for _ in 0..4 {
        let slot = program.hear();
        assert!(["1", "2"].contains(&slot.as_str()), "{slot}");
        // What it has taken again it keeps.
        assert!(matches!(region.lock_timeout(Duration::from_millis(30)), Err(LockError::Timeout)));
        let holder = region.holder().unwrap();
        assert!(holder.alive && holder.pid == Some(program.pid().as_raw_nonzero().get() as u32), "{holder:?}");
        program.say("");
    }
    program.hear();
    program.kill();
    assert!(matches!(region.lock_timeout(PATIENCE), Err(LockError::OwnerDied(_))));
}

/// On an overlay a mapping does not keep a lock, so a living process whose byte is free may only have closed its descriptors.
#[test]
fn on_an_overlay_what_a_program_held_is_handed_over_when_it_executes_itself() {
    const TEST: &str = "on_an_overlay_what_a_program_held_is_handed_over_when_it_executes_itself";
    // The layers of an overlay may not lie in another overlay.
    const SCRIPT: &str = "mount -t tmpfs none \"$0\" && cd \"$0\" && mkdir lower upper work over \
        && mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work over \
        && cd / && exec \"$@\" || echo actor: no overlay here";
    let stage = Stage::new();
    let place = stage.path().join("place");
    std::fs::create_dir(&place).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT]).arg(&place);
    command.arg(std::env::current_exe().unwrap()).env("WHARF_TEST_OVERLAY", place.join("over/region"));
    if !Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "true"])
        .status()
        .is_ok_and(|it| it.success())
    {
        return skip(TEST, "no namespaces of users and mounts");
    }
    let actor = Actor::start_through(&stage, "execute itself on an overlay", command);
    let fixed = |file: &str, says: &str| std::fs::read_to_string(file).is_ok_and(|text| text.trim() == says);
    if fixed("/proc/sys/kernel/randomize_va_space", "0") || fixed("/proc/self/personality", "00040000") {
        return skip(TEST, "programs are not put at random addresses");
    }
    match actor.hear().as_str() {
        "no overlay here" => return skip(TEST, "no overlay can be mounted"),
        heard => assert_eq!(heard, "has it after 0"),
    }
    for before in 1..=4 {
        actor.expect(&format!("has it after {before}"));
    }
    actor.expect("without descriptors: true");
}

#[test]
fn one_whose_descriptors_belong_to_other_files_takes_nobody_for_dead() {
    let stage = Stage::new();
    let region: Region<Mutex<u64>> = stage.options().create("numbers").unwrap();
    let guard = region.lock().unwrap();
    let actor = Actor::start(&stage, "lose the descriptors and try");
    actor.expect("timeout, timeout, timeout");
    drop(guard);
}
