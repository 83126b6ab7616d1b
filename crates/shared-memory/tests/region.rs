//! Regions: made whole, found by name, path or descriptor, and refused with a clear word when anything is wrong.
#![allow(unsafe_code)]

mod actors;

use std::fs::{self, File, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use actors::{Actor, Stage, is_root, listen, part, skip, stage_options, tell};
use wharf_shared_memory::region::{self, RegionKind};
use wharf_shared_memory::{
    BytesRegion, Layout, Mutex, Plain, ReadOnlyRegion, Region, RegionError, RegionOptions, Shared,
};

#[derive(Shared)]
#[repr(C)]
struct Counters {
    hits: Mutex<u64>,
    misses: Mutex<u64>,
}

/// What the other processes do. In an ordinary run there is no part, and nothing is played.
#[test]
fn actor() {
    let Some(part) = part() else { return };
    match part.as_str() {
        "create and leave" => {
            let region: Region<Counters> = stage_options().create("lasting").unwrap();
            *region.hits.lock().unwrap() = 41;
            tell("left");
        }
        "stay" => {
            let region: Region<Counters> = stage_options().attach("seen").unwrap();
            tell(&Region::slot(&region).unwrap().to_string());
            listen();
        }
        other => panic!("there is no part {other:?}"),
    }
}

#[test]
fn what_one_attachment_writes_the_other_reads() {
    let stage = Stage::new();
    let made: Region<Counters> =
        stage.options().create_with("hits", Counters { hits: Mutex::new(5), misses: Mutex::new(0) }).unwrap();
    let attached: Region<Counters> = stage.options().attach("hits").unwrap();
    assert_eq!(*attached.hits.lock().unwrap(), 5);
    *attached.misses.lock().unwrap() = 6;
    assert_eq!(*made.misses.lock().unwrap(), 6);
    assert_eq!(Region::size(&made), Region::size(&attached));
    assert_ne!(Region::slot(&made), Region::slot(&attached));
}

#[test]
fn data_outlives_every_process_until_unlink() {
    let stage = Stage::new();
    let mut maker = Actor::start(&stage, "create and leave");
    maker.expect("left");
    assert!(maker.finish().success());
    let region: Region<Counters> = stage.options().attach("lasting").unwrap();
    assert_eq!(*region.hits.lock().unwrap(), 41);
    region::unlink_in(&stage.domain(), "lasting").unwrap();
    // Whoever is attached stays so.
    *region.hits.lock().unwrap() += 1;
    assert!(matches!(stage.options().attach::<Counters>("lasting"), Err(RegionError::NotFound { .. })));
    assert!(matches!(region::unlink_in(&stage.domain(), "lasting"), Err(RegionError::NotFound { .. })));
    assert_eq!(stage.remains(), [""; 0]);
}

#[test]
fn a_name_is_taken_once_and_found_only_when_it_is_there() {
    let stage = Stage::new();
    let options = stage.options();
    assert!(matches!(options.attach::<Counters>("hits"), Err(RegionError::NotFound { .. })));
    let first: Region<Counters> = options.create("hits").unwrap();
    let again = options.create::<Counters>("hits").unwrap_err();
    assert!(matches!(again, RegionError::Taken { .. }));
    assert!(again.to_string().contains("\"hits\""), "{again}");
    drop(first);
    assert!(options.open_or_create::<Counters>("hits").is_ok());
}

#[test]
fn names_that_break_a_rule_are_refused_with_the_rule() {
    let stage = Stage::new();
    for (name, rule) in [("", "nothing"), ("a/b", "slash"), (".hidden", "dot"), ("a\nb", "control")] {
        for error in [
            stage.options().create::<Counters>(name).unwrap_err(),
            stage.options().attach::<Counters>(name).unwrap_err(),
            stage.options().open_or_create::<Counters>(name).unwrap_err(),
            region::unlink_in(&stage.domain(), name).unwrap_err(),
            region::inspect_in(&stage.domain(), name).unwrap_err(),
        ] {
            assert!(matches!(error, RegionError::BadName { .. }), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(rule) && !text.contains('\n'), "{text}");
        }
    }
    assert!(stage.options().create::<Counters>(&"n".repeat(200)).is_ok());
}

#[test]
fn another_type_is_refused_and_both_are_named() {
    #[derive(Clone, Copy, Plain)]
    #[repr(C)]
    struct Pose {
        x: f64,
        y: f64,
    }
    let stage = Stage::new();
    let options = stage.options();
    let _kept: Region<Mutex<Pose>> = options.create("pose").unwrap();
    let bytes = options.create_bytes("bytes", 10).unwrap();
    for error in [
        options.attach::<Mutex<[f64; 2]>>("pose").unwrap_err(),
        options.open_or_create::<Mutex<[f64; 2]>>("pose").unwrap_err(),
        options.attach_read_only::<Mutex<[f64; 2]>>("pose").unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(matches!(error, RegionError::OtherType { .. }), "{error:?}");
        assert!(text.contains("Mutex<Pose>") && text.contains("Mutex<[f64; 2]>"), "{text}");
        assert!(text.contains(&format!("{:016x}", <Mutex<Pose>>::LAYOUT.hash)), "{text}");
    }
    assert!(matches!(options.attach_bytes("pose"), Err(RegionError::OtherType { .. })));
    assert!(matches!(options.attach::<Counters>("bytes"), Err(RegionError::OtherType { .. })));
    let other_len = options.open_or_create_bytes("bytes", 11).unwrap_err().to_string();
    assert!(other_len.contains("10 bytes") && other_len.contains("11 bytes"), "{other_len}");
    assert_eq!(options.open_or_create_bytes("bytes", 10).unwrap().len(), bytes.len());
}

#[test]
fn options_that_no_region_can_have_are_refused_with_the_limits() {
    let stage = Stage::new();
    for max in [0, 1024, u32::MAX] {
        let error = stage.options().max_participants(max).create::<Counters>("hits").unwrap_err();
        assert!(matches!(error, RegionError::BadOptions { .. }), "{error:?}");
        assert!(error.to_string().contains("1023"), "{error}");
    }
    assert!(stage.options().max_participants(1023).create::<Counters>("hits").is_ok());
    assert!(matches!(stage.options().create_bytes("bytes", usize::MAX), Err(RegionError::BadOptions { .. })));
    assert_eq!(stage.options().create_bytes("none", 0).unwrap().lock().unwrap().len(), 0);
}

#[test]
fn more_than_there_is_room_for_is_an_error_with_both_numbers() {
    let stage = Stage::new();
    let asked_for = 1_usize << 46;
    let text = match stage.options().create_bytes("huge", asked_for).unwrap_err() {
        error @ RegionError::NoRoom { asked, free, .. } => {
            assert!(asked > asked_for as u64 && free < asked, "{error}");
            error.to_string()
        }
        other => panic!("{other}"),
    };
    assert!(text.contains(" bytes, ") && text.contains("free"), "{text}");
    assert_eq!(stage.remains(), [""; 0]);
    assert!(matches!(
        stage.options().anonymous_bytes(asked_for),
        Err(RegionError::NoRoom { .. } | RegionError::System { .. })
    ));
}

/// A tmpfs of our own, unmounted when dropped.
struct Mount<'a>(&'a Path);

impl Mount<'_> {
    fn run(program: &str, arguments: &[&str], at: &Path) -> bool {
        let run = Command::new(program).args(arguments).arg(at).output();
        run.is_ok_and(|output| output.status.success())
    }

    fn new<'a>(at: &'a Path, size: &str) -> Option<Mount<'a>> {
        fs::create_dir_all(at).unwrap();
        let how = format!("size={size},mode=0700");
        let mounted = is_root() && Mount::run("mount", &["-t", "tmpfs", "-o", &how, "tmpfs"], at);
        // Not made before it is mounted: dropping it unmounts.
        mounted.then(|| Mount(at))
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        assert!(Mount::run("umount", &[], self.0) || std::thread::panicking());
    }
}

#[test]
fn a_small_file_system_and_a_read_only_one_say_so() {
    const NAME: &str = "a_small_file_system_and_a_read_only_one_say_so";
    let stage = Stage::new();
    let at = stage.path().join("small");
    let Some(mount) = Mount::new(&at, "256k") else { return skip(NAME, "mounting needs root") };
    let options = || RegionOptions::new().domain(wharf_sys::directory::Domain::at(mount.0).unwrap());
    match options().create_bytes("big", 1 << 20).unwrap_err() {
        RegionError::NoRoom { asked, free, .. } => {
            assert!(asked > 1 << 20 && free <= 256 << 10, "{asked} {free}");
        }
        other => panic!("{other}"),
    }
    let fits: Region<Counters> = options().create("fits").unwrap();
    *fits.hits.lock().unwrap() = 3;
    drop(fits);
    assert!(Mount::run("mount", &["-o", "remount,ro"], mount.0));
    let read_only = |error: RegionError| assert!(matches!(error, RegionError::ReadOnlyFileSystem { .. }), "{error:?}");
    read_only(options().create::<Counters>("other").unwrap_err());
    read_only(options().attach::<Counters>("fits").unwrap_err());
    read_only(region::unlink_in(&wharf_sys::directory::Domain::at(mount.0).unwrap(), "fits").unwrap_err());
    assert!(options().attach_read_only::<Counters>("fits").is_ok());
}

#[test]
fn regions_without_a_name_are_passed_as_descriptors() {
    let region: Region<Counters> = Region::anonymous().unwrap();
    let passed = Region::share(&region).unwrap();
    let attached = Region::<Counters>::attach_fd(passed).unwrap();
    *attached.hits.lock().unwrap() = 9;
    assert_eq!(*region.hits.lock().unwrap(), 9);
    let bytes = BytesRegion::anonymous(4096).unwrap();
    let again = BytesRegion::attach_fd(bytes.share().unwrap()).unwrap();
    again.lock().unwrap().fill(1);
    assert!(bytes.lock().unwrap().iter().all(|&byte| byte == 1));
    assert!(matches!(Region::<Counters>::attach_fd(bytes.share().unwrap()), Err(RegionError::OtherType { .. })));
}

#[test]
fn descriptors_that_are_no_sealed_region_are_refused() {
    let stage = Stage::new();
    let whole: Region<Counters> = stage.options().create("whole").unwrap();
    // The bytes of a good region, in memory that its owner could still cut short.
    let unsealed = wharf_sys::memory::memfd("unsealed").unwrap();
    let good = fs::read(stage.names().join("whole.region")).unwrap();
    let unsealed = File::from(unsealed);
    unsealed.write_all_at(&good, 0).unwrap();
    let refused = Region::<Counters>::attach_fd(OwnedFd::from(unsealed)).unwrap_err();
    assert!(matches!(refused, RegionError::Untrusted { .. }) && refused.to_string().contains("sealed"), "{refused}");
    let (reader, writer) = std::io::pipe().unwrap();
    assert!(Region::<Counters>::attach_fd(OwnedFd::from(reader)).is_err());
    drop(writer);
    assert!(Region::<Counters>::attach_fd(OwnedFd::from(File::open("/dev/null").unwrap())).is_err());
    assert!(Region::<Counters>::attach_fd(OwnedFd::from(File::open("/").unwrap())).is_err());
    // A named region may be passed on too: its file says whose it is.
    let shared = Region::share(&whole).unwrap();
    assert!(stage.options().attach_fd::<Counters>(shared).is_ok());
}

#[test]
fn regions_in_files_work_by_path() {
    let stage = Stage::new();
    let path = stage.path().join("state of the line.bin");
    let region: Region<Counters> = Region::create_file(&path).unwrap();
    *region.hits.lock().unwrap() = 4;
    assert!(matches!(Region::<Counters>::create_file(&path), Err(RegionError::Taken { .. })));
    drop(region);
    assert_eq!(*Region::<Counters>::attach_file(&path).unwrap().hits.lock().unwrap(), 4);
    assert_eq!(*Region::<Counters>::open_or_create_file(&path).unwrap().hits.lock().unwrap(), 4);
    assert_eq!(region::inspect_file(&path).unwrap().type_name, "Counters");
    assert!(stage.options().attach_file_read_only::<Counters>(&path).is_ok());
    let nowhere = stage.path().join("no such directory").join("file");
    assert!(matches!(Region::<Counters>::attach_file(&nowhere), Err(RegionError::NotFound { .. })));
    let text = Region::<Counters>::create_file(&nowhere).unwrap_err().to_string();
    assert!(text.contains("directory"), "{text}");
    assert!(Region::<Counters>::open_or_create_file(&nowhere).is_err());
    assert!(Region::<Counters>::attach_file(stage.path()).is_err());
}

#[test]
fn a_pipe_or_a_device_at_the_path_is_refused_without_waiting() {
    let stage = Stage::new();
    let path = stage.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(Region::<Counters>::attach_file(&path).is_err());
    assert!(stage.options().attach_file_read_only::<Counters>(&path).is_err());
    assert!(region::inspect_file(&path).is_err());
    assert!(Region::<Counters>::attach_file("/dev/null").is_err());
    let named = stage.domain().path().join("pipe.region");
    fs::rename(&path, named).unwrap();
    assert!(stage.options().attach::<Counters>("pipe").is_err());
    assert!(stage.options().attach_read_only::<Counters>("pipe").is_err());
    assert!(region::list_in(&stage.domain()).unwrap()[0].problem.is_some());
}

#[test]
fn what_is_no_file_under_a_name_is_called_what_it_is() {
    let stage = Stage::new();
    let domain = stage.domain();
    let at = |name: &str| domain.path().join(format!("{name}.region"));
    fs::create_dir(at("folder")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at("link")).unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    let says = |error: RegionError, name: &str, found: &str| {
        let text = error.to_string();
        let expected = format!("{} is {found}, not a region; remove it or choose another name", at(name).display());
        assert!(text.ends_with(&expected), "{text}");
    };
    let kinds = [("folder", "a directory"), ("link", "a symbolic link"), ("pipe", "a FIFO")];
    for (name, found) in kinds {
        says(region::inspect_in(&domain, name).unwrap_err(), name, found);
        says(stage.options().attach::<Counters>(name).unwrap_err(), name, found);
        says(stage.options().attach_read_only::<Counters>(name).unwrap_err(), name, found);
    }
    for (info, (name, found)) in region::list_in(&domain).unwrap().iter().zip(kinds) {
        assert_eq!(info.name, name);
        assert!(info.problem.as_ref().is_some_and(|problem| problem.contains(found)), "{info:?}");
    }
    says(region::unlink_in(&domain, "folder").unwrap_err(), "folder", "a directory");
    assert!(at("folder").is_dir());
    // The others go by name; what a link points at is not touched.
    region::unlink_in(&domain, "link").unwrap();
    region::unlink_in(&domain, "pipe").unwrap();
    assert_eq!(region::list_in(&domain).unwrap().len(), 1);
}

/// A mutex as a program of another version draws it: as large, and of the same name.
struct OtherVersion(Mutex<u64>);

// SAFETY: all that is said of a mutex holds for it.
unsafe impl Shared for OtherVersion {
    const LAYOUT: Layout = {
        let mutex = <Mutex<u64>>::LAYOUT;
        Layout::cell(mutex.name, &[1, 1], mutex.fields, mutex.size, mutex.align)
    };
}

#[test]
fn a_primitive_of_another_version_is_refused() {
    let stage = Stage::new();
    let options = stage.options();
    let region: Region<OtherVersion> = options.create("versions").unwrap();
    drop(region.0.lock().unwrap());
    let Err(error) = options.attach::<Mutex<u64>>("versions") else { panic!("it is another version") };
    assert!(matches!(error, RegionError::OtherType { .. }), "{error:?}");
    assert!(error.to_string().contains("version"), "{error}");
    assert!(options.attach::<OtherVersion>("versions").is_ok());
}

#[test]
fn a_file_that_others_may_write_or_name_is_refused() {
    let stage = Stage::new();
    let _kept: Region<Counters> = stage.options().create("hits").unwrap();
    let path = stage.names().join("hits.region");
    let attach = |options: RegionOptions| options.attach::<Counters>("hits");
    let untrusted = |options: RegionOptions, word: &str| match attach(options) {
        Err(error @ RegionError::Untrusted { .. }) => assert!(error.to_string().contains(word), "{error}"),
        other => panic!("{other:?}"),
    };
    fs::set_permissions(&path, Permissions::from_mode(0o660)).unwrap();
    untrusted(stage.options(), "0660");
    assert!(attach(stage.options().mode(0o660)).is_ok());
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    untrusted(stage.options().mode(0o660), "0666");
    assert!(attach(stage.options().mode(0o666)).is_ok());
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert!(attach(stage.options()).is_ok());
    fs::hard_link(&path, stage.path().join("second name")).unwrap();
    untrusted(stage.options(), "2 names");
    fs::remove_file(stage.path().join("second name")).unwrap();
    assert!(attach(stage.options()).is_ok());
    std::os::unix::fs::symlink(&path, stage.names().join("link.region")).unwrap();
    assert!(stage.options().attach::<Counters>("link").is_err());
}

#[test]
fn a_file_of_another_user_is_refused_unless_allowed() {
    const NAME: &str = "a_file_of_another_user_is_refused_unless_allowed";
    if !is_root() {
        return skip(NAME, "giving a file to another user needs root");
    }
    let stage = Stage::new();
    let _kept: Region<Counters> = stage.options().create("hits").unwrap();
    let path = stage.names().join("hits.region");
    std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
    let refused = stage.options().attach::<Counters>("hits").unwrap_err();
    assert!(matches!(refused, RegionError::Untrusted { .. }) && refused.to_string().contains("12345"), "{refused}");
    assert!(stage.options().allow_uid(12_345).attach::<Counters>("hits").is_ok());
    // The uid that stands for everybody outside the user namespace is refused even if allowed by mistake.
    let overflow = wharf_sys::socket::overflow_uid();
    std::os::unix::fs::chown(&path, Some(overflow), None).unwrap();
    let refused = stage.options().allow_uid(overflow).attach::<Counters>("hits").unwrap_err();
    assert!(matches!(refused, RegionError::Untrusted { .. }), "{refused}");
}

#[test]
fn modes_are_as_asked_for() {
    let stage = Stage::new();
    let mode = |name: &str| region::inspect_in(&stage.domain(), name).unwrap().mode;
    let _private: Region<Counters> = stage.options().create("private").unwrap();
    let _group: Region<Counters> = stage.options().mode(0o660).create("group").unwrap();
    assert_eq!((mode("private"), mode("group")), (0o600, 0o660));
}

#[test]
fn no_flipped_byte_of_the_header_page_is_accepted() {
    let stage = Stage::new();
    drop(stage.options().create::<Counters>("hits").unwrap());
    let file = File::options().read(true).write(true).open(stage.names().join("hits.region")).unwrap();
    let mut header = [0; 4096];
    file.read_exact_at(&mut header, 0).unwrap();
    for (at, byte) in header.iter().enumerate() {
        file.write_all_at(&[!byte], at as u64).unwrap();
        match stage.options().attach::<Counters>("hits") {
            Err(RegionError::Damaged { .. } | RegionError::OtherVersion { .. }) => {}
            other => panic!("byte {at}: {other:?}"),
        }
        file.write_all_at(&[*byte], at as u64).unwrap();
    }
    assert!(stage.options().attach::<Counters>("hits").is_ok());
}

#[test]
fn a_file_of_any_other_length_is_refused() {
    let stage = Stage::new();
    let len = Region::size(&stage.options().create::<Counters>("hits").unwrap());
    let path = stage.names().join("hits.region");
    let whole = fs::read(&path).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    for other in [0, 1, 8, 4095, 4096, 4097, len - 4096, len - 1, len + 1, len * 2] {
        file.set_len(other).unwrap();
        match stage.options().attach::<Counters>("hits").unwrap_err() {
            error @ RegionError::Damaged { .. } => assert!(error.to_string().contains(&other.to_string()), "{error}"),
            error => panic!("{other}: {error:?}"),
        }
        assert!(region::inspect_in(&stage.domain(), "hits").is_err());
        file.set_len(len).unwrap();
        file.write_all_at(&whole, 0).unwrap();
    }
    assert!(stage.options().attach::<Counters>("hits").is_ok());
}

#[test]
fn whatever_stands_in_the_participant_table_or_the_root_attaching_does_not_panic() {
    let stage = Stage::new();
    let len = Region::size(&stage.options().max_participants(8).create::<Counters>("hits").unwrap());
    let file = File::options().write(true).open(stage.names().join("hits.region")).unwrap();
    // A fixed sequence of odd numbers: the test is the same on every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..200 {
        let mut garbage = vec![0_u8; usize::try_from(len).unwrap() - 4096];
        for byte in &mut garbage {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
        file.write_all_at(&garbage, 4096).unwrap();
        match stage.options().attach::<Counters>("hits") {
            Ok(region) => drop(region.hits.try_lock().map(|_| ()).map_err(|error| error.failure())),
            Err(RegionError::Full { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
        let info = region::inspect_in(&stage.domain(), "hits").unwrap();
        assert!(info.participants.len() <= 8);
    }
}

#[test]
fn a_read_only_attachment_takes_no_slot_and_sees_the_data() {
    let stage = Stage::new();
    let region: Region<Counters> = stage.options().max_participants(1).create("hits").unwrap();
    let seen: ReadOnlyRegion<Counters> = stage.options().attach_read_only("hits").unwrap();
    let more: ReadOnlyRegion<Counters> = stage.options().attach_read_only("hits").unwrap();
    assert_eq!(region::inspect_in(&stage.domain(), "hits").unwrap().participants.len(), 1);
    let guard = region.hits.lock().unwrap();
    assert_eq!(seen.hits.holder().unwrap().slot, Region::slot(&region).unwrap());
    drop(guard);
    assert!(more.hits.holder().is_none());
    assert_eq!(ReadOnlyRegion::size(&seen), Region::size(&region));
}

#[test]
fn a_region_is_listed_and_inspected_from_outside() {
    let stage = Stage::new();
    let region: Region<Counters> = stage.options().create("seen").unwrap();
    let _bytes = stage.options().create_bytes("raw", 100).unwrap();
    let mut stays = Actor::start(&stage, "stay");
    let slot: u32 = stays.hear().parse().unwrap();
    let info = region::inspect_in(&stage.domain(), "seen").unwrap();
    assert_eq!((info.name.as_str(), info.type_name.as_str(), info.kind), ("seen", "Counters", RegionKind::Typed));
    assert_eq!((info.hash, info.size, info.version), (Counters::LAYOUT.hash, Region::size(&region), 4));
    assert_eq!((info.max_participants, info.root_size), (256, size_of::<Counters>() as u64));
    assert!(info.created.unwrap().elapsed().unwrap().as_secs() < 600);
    let pids: Vec<u32> = info.participants.iter().map(|participant| participant.pid).collect();
    assert!(pids.contains(&std::process::id()), "{info:?}");
    let other = info.participants.iter().find(|participant| participant.slot == slot).unwrap();
    assert_eq!(other.pid, stays.pid().as_raw_nonzero().get() as u32);
    assert!(other.alive && !other.program.is_empty() && other.generation == 1, "{other:?}");
    stays.kill();
    let info = region::inspect_in(&stage.domain(), "seen").unwrap();
    let other = info.participants.iter().find(|participant| participant.slot == slot).unwrap();
    assert!(!other.alive, "{other:?}");
    fs::write(stage.names().join("spoilt.region"), "not a region").unwrap();
    let all = region::list_in(&stage.domain()).unwrap();
    let names: Vec<_> = all.iter().map(|info| (info.name.as_str(), info.problem.is_some())).collect();
    assert_eq!(names, [("raw", false), ("seen", false), ("spoilt", true)]);
    assert_eq!((all[0].kind, all[0].root_size), (RegionKind::Bytes, 164));
    region::unlink_in(&stage.domain(), "spoilt").unwrap();
}

#[test]
fn attaching_and_leaving_again_and_again_leaks_nothing() {
    let stage = Stage::new();
    let count = || fs::read_dir("/proc/self/fd").unwrap().count();
    let mappings = || {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.contains("leaks.region")).count()
    };
    let _kept: Region<Counters> = stage.options().create("leaks").unwrap();
    let once = mappings();
    for _ in 0..300 {
        let region: Region<Counters> = stage.options().attach("leaks").unwrap();
        drop(region.hits.lock());
        assert!(stage.options().attach::<Mutex<u8>>("leaks").is_err());
        drop(stage.options().attach_read_only::<Counters>("leaks").unwrap());
    }
    assert_eq!(mappings(), once);
    // Other tests of this program open files too; 300 leaked ones would stand out.
    assert!(count() < 200, "{}", count());
    let participants = region::inspect_in(&stage.domain(), "leaks").unwrap().participants;
    assert_eq!(participants.len(), 1);
}
