//! What the traits refuse: types without the derive, and bare values in a region.

use wharf_shared_memory::{Latest, Mutex, Plain, Region, Shared};

#[derive(Clone, Copy)]
#[repr(C)]
struct Undeclared {
    x: u32,
}

#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Outer {
    inner: Undeclared, //~ `Undeclared` cannot cross between processes: it is not `Plain`
}

#[derive(Shared)]
#[repr(C)]
struct Root {
    bare: u64, //~ `u64` cannot stand in a region by itself: other processes may write it at any moment
    locked: Mutex<u64>,
}

fn lock(mutex: &Mutex<usize>) {} //~ `usize` cannot cross between processes: it is not `Plain`

fn watch(cell: &Latest<bool>) {} //~ `bool` cannot cross between processes: it is not `Plain`

fn attach(region: Region<u64>) {} //~ `u64` cannot stand in a region by itself: other processes may write it at any moment

fn main() {}
