//! Types whose bytes are not fixed: the error says what would fix them.

use wharf_shared_memory::{Mutex, Plain, Shared};

#[derive(Clone, Copy, Plain)]
struct Unordered { //~ a Plain struct needs #[repr(C)]: without it each compilation may order the fields differently
    x: u32,
}

#[derive(Clone, Copy, Plain)]
#[repr(C, packed)] //~ only `C`, `transparent` and `align` are possible on Plain types
struct Packed {
    x: u32,
}

#[derive(Clone, Copy, Plain)]
#[repr(u8)]
enum Colour { //~ an enum cannot be Plain: another process may leave a number that is no variant
    Red,
    Green,
}

#[derive(Clone, Copy, Plain)]
#[repr(C)]
union Either { //~ a union cannot be Plain: its bytes may be undefined
    x: u32,
    y: f32,
}

#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Borrowing<'a> { //~ a type with a lifetime cannot be Plain: a borrow does not outlive its process
    x: std::marker::PhantomData<&'a u32>,
}

#[derive(Shared)]
struct UnorderedRoot { //~ a Shared struct needs #[repr(C)]: without it each compilation may order the fields differently
    x: Mutex<u32>,
}

fn main() {}
