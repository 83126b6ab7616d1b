//! The derive macros find their way through the façade: this program names no other crate of the workspace.
#![forbid(unsafe_code)]

use wharf::{Latest, Mutex, Plain, Region, RegionOptions, Shared};

#[derive(Clone, Copy, Debug, Default, PartialEq, Plain)]
#[repr(C)]
struct Pose {
    at_ns: u64,
    position: [f32; 2],
}

#[derive(Shared)]
#[repr(C)]
struct Board {
    hits: Mutex<u64>,
    pose: Latest<Pose>,
}

#[test]
fn a_derived_type_is_shared_and_shipped() -> wharf::Result<()> {
    let private = tempfile::tempdir()?;
    let domain = wharf::Domain::at(private.path())?;
    let pose = Pose { at_ns: 7, position: [1.0, 2.0] };

    let board: Region<Board> = RegionOptions::new().domain(domain.clone()).create("board")?;
    *board.hits.lock()? += 1;
    board.pose.write(&pose)?;
    assert_eq!((*board.hits.lock()?, board.pose.read()), (1, pose));

    let options = wharf::Options::new().domain(domain);
    let mut listener = options.listen_typed::<Pose>("shm:poses")?;
    let there = std::thread::spawn(move || -> wharf::Result<Pose> { Ok(*listener.accept()?.recv()?) });
    options.connect_typed::<Pose>("shm:poses")?.send(&pose)?;
    assert_eq!(there.join().expect("the other side did not panic")?, pose);
    Ok(())
}
