//! Fields that never cross between processes: each error stands at its field and says what to use instead.

use wharf_shared_memory::{Latest, Mutex, Plain, Shared};

#[derive(Plain)]
#[repr(C)]
struct Everything {
    ready: bool, //~ bool is valid only as 0 or 1, and another process may leave any byte: use Flag
    letter: char, //~ most bit patterns are no char: store a u32 and convert it with char::from_u32
    len: usize, //~ usize differs between 32- and 64-bit programs: use u64 or u32
    delta: isize, //~ isize differs between 32- and 64-bit programs: use i64 or i32
    name: String, //~ String holds an address of one process: use Text<N>, a text of at most N bytes
    list: Vec<u32>, //~ Vec holds addresses of one process: use an array of fixed length and a count
    boxed: Box<u32>, //~ Box holds an address of one process: store the value itself
    maybe: Option<u32>, //~ not every bit pattern is an Option: use a Flag beside the value
    borrowed: &'static str, //~ a reference holds an address of one process: store the value itself or an index
    pointer: *const u8, //~ a pointer holds an address of one process: store the value itself or an index
    function: fn(u32), //~ a function pointer holds an address of one process: store a number
    pair: (u8, u8), //~ a tuple has no fixed layout: use a struct with #[repr(C)]
    inside: [[usize; 2]; 2], //~ usize differs between 32- and 64-bit programs: use u64 or u32
}

#[derive(Shared)]
#[repr(C)]
struct Primitives {
    flags: Mutex<[bool; 4]>, //~ bool is valid only as 0 or 1, and another process may leave any byte: use Flag //~ `bool` cannot cross between processes: it is not `Plain`
    list: Latest<Vec<u8>>, //~ Vec holds addresses of one process: use an array of fixed length and a count //~ `Vec<u8>` cannot cross between processes: it is not `Plain`
}

fn main() {}
