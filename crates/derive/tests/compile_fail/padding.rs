//! Structs with undefined bytes in them: the error names the gap.

use wharf_shared_memory::{Layout, Mutex, Plain, Shared};

#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Gap {
    short: u8,
    long: u64, //~ `Gap` has padding before its field `long`: order the fields from the largest alignment to the smallest
}

#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct End { //~ `End` has padding at its end: order the fields from the largest alignment to the smallest, or fill the gap
    long: u64,
    short: u8,
}

#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Generic<T> {
    short: u8,
    any: T, //~ `Generic` has padding before its field `any`
}

const _NO_GAP: Layout = Generic::<[u8; 3]>::LAYOUT;
const _GAP: Layout = Generic::<u16>::LAYOUT;

#[derive(Shared)]
#[repr(C)]
struct Dropping { //~ `Dropping` has something to drop: memory that several processes map belongs to none of them
    value: Mutex<u64>,
}

impl Drop for Dropping {
    fn drop(&mut self) {}
}

fn main() {}
