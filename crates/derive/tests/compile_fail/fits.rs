//! What must compile, so that the errors of the others have no other cause; in a program without `unsafe`.
#![forbid(unsafe_code)]
#![deny(warnings)]

use wharf_shared_memory::{Flag, Latest, Mutex, Plain, Shared, Text};

#[derive(Clone, Copy, Plain)]
#[repr(C)]
pub struct Reading<T, const N: usize> {
    pub values: [T; N],
    pub taken_at_ns: u64,
    pub sensor: Text<7>,
    pub calibrated: Flag,
}

#[derive(Shared)]
#[repr(C)]
pub struct Root {
    pub readings: [Latest<Reading<f64, 3>>; 2],
    pub count: Mutex<u32>,
    pub inner: Inner<u16>,
}

#[derive(Shared)]
#[repr(transparent)]
pub struct Inner<T: Plain>(pub Mutex<[T; 4]>);

fn main() {
    println!("{:#}", Root::LAYOUT);
}
