//! Which types the derive macros accept, and that equal hashes mean equal bytes.
#![forbid(unsafe_code)]

mod random;

use std::mem::offset_of;

use random::Random;
use wharf_shared_memory::plain::{Shape, bytes_of, read, zeroed};
use wharf_shared_memory::{
    Barrier, Condvar, Event, Flag, Journaled, Latest, Layout, Mutex, Once, Plain, ReentrantMutex, RwLock, Semaphore,
    Shared, Text,
};

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C)]
struct Pose {
    x: f64,
    y: f64,
    heading: [f32; 2],
}

#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Reading {
    pose: Pose,
    taken_at_ns: u64,
    r#type: u32,
    sensor: Text<11>,
    calibrated: Flag,
}

#[derive(Clone, Copy, Plain)]
#[repr(transparent)]
struct Metres(f64);

#[derive(Clone, Copy, Plain)]
#[repr(transparent)]
struct Feet(f64);

#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Image<T, const N: usize> {
    width: u32,
    height: u32,
    pixels: [T; N],
}

#[derive(Clone, Copy, Plain)]
#[repr(C, align(64))]
struct Line([u64; 8]);

#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Empty;

#[test]
fn a_layout_names_every_field_where_it_is() {
    let layout = Reading::LAYOUT;
    assert_eq!((layout.name, layout.size, layout.align), ("Reading", 48, 8));
    assert_eq!(layout.shape, Shape::Record);
    let fields: Vec<_> = layout.fields.iter().map(|field| (field.name, field.offset, field.layout)).collect();
    assert_eq!(
        fields,
        [
            ("pose", 0, Pose::LAYOUT),
            ("taken_at_ns", 24, u64::LAYOUT),
            ("type", 32, u32::LAYOUT),
            ("sensor", 36, Text::<11>::LAYOUT),
            ("calibrated", 47, Flag::LAYOUT),
        ]
    );
    assert_eq!(offset_of!(Reading, calibrated), 47);
}

#[test]
fn two_types_of_equal_bytes_and_different_meaning_differ() {
    assert_eq!(Metres::LAYOUT.size, Feet::LAYOUT.size);
    assert_ne!(Metres::LAYOUT.hash, Feet::LAYOUT.hash);
    assert_ne!(Metres::LAYOUT.hash, f64::LAYOUT.hash);
}

#[test]
fn a_generic_type_has_one_layout_for_each_argument() {
    assert_eq!(Image::<u16, 4>::LAYOUT.size, 16);
    let hashes = [
        Image::<u16, 4>::LAYOUT.hash,
        Image::<u16, 8>::LAYOUT.hash,
        Image::<i16, 4>::LAYOUT.hash,
        Image::<u32, 4>::LAYOUT.hash,
    ];
    for (at, hash) in hashes.iter().enumerate() {
        assert!(!hashes[..at].contains(hash));
    }
}

#[test]
fn alignment_and_emptiness_are_layouts_too() {
    assert_eq!((Line::LAYOUT.size, Line::LAYOUT.align), (64, 64));
    assert_eq!((Empty::LAYOUT.size, Empty::LAYOUT.align), (0, 1));
    assert_eq!(bytes_of(&Line([1; 8])).len(), 64);
    assert!(bytes_of(&Empty).is_empty());
}

#[test]
fn the_same_declaration_elsewhere_has_the_same_hash() {
    mod another_program {
        #[derive(Clone, Copy, wharf_shared_memory::Plain)]
        #[repr(C)]
        pub(super) struct Pose {
            x: f64,
            y: f64,
            heading: [f32; 2],
        }
    }
    assert_eq!(another_program::Pose::LAYOUT, Pose::LAYOUT);
}

#[test]
fn the_hash_of_a_known_type_never_changes_unnoticed() {
    // Regions of files written by an older version carry these numbers. A change here is a change of the layout
    // version in docs/layout.md.
    let known: [(Layout, u64); 3] = [
        (u64::LAYOUT, 0x0283_0f37_ea43_cc5e),
        (<[f32; 2]>::LAYOUT, 0x767b_9b01_f361_26c9),
        (Pose::LAYOUT, 0x32fd_a51b_903a_c155),
    ];
    for (layout, hash) in known {
        assert_eq!(layout.hash, hash, "{layout:#} now has {:#018x}", layout.hash);
    }
}

#[test]
fn a_renamed_crate_is_named_by_an_attribute() {
    mod other_name {
        pub(super) use wharf_shared_memory::*;
    }
    #[derive(Clone, Copy, Plain)]
    #[wharf(crate = other_name)]
    #[repr(C)]
    struct Small {
        value: u32,
    }
    assert_eq!(Small::LAYOUT.size, 4);
}

#[test]
fn any_bytes_are_a_value_and_come_back_unchanged() {
    let mut random = Random::seeded();
    for _ in 0..1000 {
        let bytes: [u8; 24] = random.bytes();
        let pose: Pose = read(&bytes).expect("as many bytes as a Pose has");
        assert_eq!(bytes_of(&pose), &bytes[..]);
        let again: Pose = read(bytes_of(&pose)).expect("as many bytes as a Pose has");
        assert_eq!(bytes_of(&again), &bytes[..]);
    }
}

#[test]
fn a_text_keeps_every_text_that_fits() {
    let mut random = Random::seeded();
    for _ in 0..1000 {
        let count = random.below(17);
        // Characters of one byte to four, of every number but those that are none.
        let any = |random: &mut Random| {
            let most = [0x7f, 0x7ff, 0xffff, 0x10_ffff][random.below(4) as usize];
            char::from_u32(1 + random.below(most) as u32).unwrap_or('x')
        };
        let text: String = (0..count).map(|_| any(&mut random)).collect();
        match Text::<16>::new(&text) {
            Ok(kept) => assert_eq!(kept.as_str(), Ok(text.as_str())),
            Err(_) => assert!(text.len() > 16, "{text:?}"),
        }
    }
}

#[test]
fn zeroes_are_a_value() {
    let pose: Pose = zeroed();
    assert_eq!(pose, Pose { x: 0.0, y: 0.0, heading: [0.0; 2] });
}

/// The hash of a region tells the versions apart that `docs/layout.md` draws.
#[test]
fn the_pictures_and_the_primitives_name_the_same_versions() {
    let pages = include_str!("../../../docs/layout.md");
    // The sentence with which a section begins.
    let first = |title: &str| {
        let (_, section) = pages.split_once(&format!("\n## {title}\n\nVersion ")).expect(title);
        section.split_once('.').expect("a sentence").0
    };
    let version = |title| {
        let digits: String = first(title).chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().expect(title)
    };
    let primitives = [
        <Mutex<u64>>::LAYOUT,
        <ReentrantMutex<u64>>::LAYOUT,
        <RwLock<u64>>::LAYOUT,
        Condvar::LAYOUT,
        <Latest<u64>>::LAYOUT,
        <Semaphore<1>>::LAYOUT,
        <Event>::LAYOUT,
        <Barrier<1>>::LAYOUT,
        Once::LAYOUT,
        <Journaled<u64> as Plain>::LAYOUT,
    ];
    for layout in primitives {
        let (title, mut versions) = (layout.name, vec![version(layout.name)]);
        for (words, part) in [("a lock", "Lock"), ("a sleepers' word", "Sleepers' word")] {
            if first(title).contains(words) {
                versions.push(version(part));
            }
        }
        assert_eq!(layout.versions, versions, "{title}");
    }
}
