//! Which types may be copied as bytes between processes, and the safe ways to do so.
#![allow(unsafe_code)]

mod flag;
mod layout;
mod text;

use std::mem::MaybeUninit;

pub use self::flag::Flag;
pub use self::layout::{Field, Layout, Shape};
pub use self::text::{Text, TextError};

/// A type whose values are nothing but bytes: any process can read what another one wrote.
///
/// Numbers of fixed width, arrays of them, and structs of such:
///
/// ```
/// use wharf_shared_memory::{Flag, Plain, Text};
///
/// #[derive(Clone, Copy, Plain)]
/// #[repr(C)]
/// struct Reading {
///     taken_at_ns: u64,
///     celsius: [f32; 3],
///     sensor: Text<19>,
///     calibrated: Flag,
/// }
///
/// assert_eq!(Reading::LAYOUT.size, 40);
/// ```
///
/// # What to use instead
///
/// | not allowed | because | use |
/// |---|---|---|
/// | `bool` | only 0 and 1 are valid, and another process may leave any byte | [`Flag`] |
/// | `char`, enums | most bit patterns are invalid | `u32` or `u8`, converted with `TryFrom` where it is read |
/// | `usize`, `isize` | their width differs between programs | `u64`, `i64`, `u32` |
/// | `&T`, `*const T`, `Box`, `Vec`, `String` | they hold addresses of one process | an index, `[T; N]`, [`Text`] |
/// | `Option<T>` | an enum | a [`Flag`] beside the value, or a value that means "none" |
/// | padding | undefined bytes, and they leak what was in memory before | order the fields by size, or add a `_reserved: [u8; N]` field |
///
/// # Safety
///
/// By implementing it you promise that the type
///
/// - is valid for every bit pattern of its size,
/// - has no padding: every byte of it belongs to a value,
/// - holds no address, no descriptor and no interior mutability,
/// - has one layout in every program for the same [`LAYOUT`](Plain::LAYOUT): `#[repr(C)]` or
///   `#[repr(transparent)]`, fields of fixed width,
/// - and that `LAYOUT` describes it truthfully.
///
/// The derive macro checks all of it; for a generic type the check for padding runs when `LAYOUT` is used, which
/// every function that treats a `T: Plain` as bytes therefore does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot cross between processes: it is not `Plain`",
    label = "not a `Plain` type",
    note = "allowed: u8 to u128, i8 to i128, f32, f64, `Flag`, `Text<N>`, arrays of these, and structs with `#[derive(Clone, Copy, Plain)] #[repr(C)]`",
    note = "instead of usize or isize use u64 or i64, instead of bool use `Flag`, instead of String use `Text<N>`, instead of char or an enum use u32 or u8 and convert with TryFrom",
    note = "references, pointers, Box and Vec hold addresses of one process: use an index, or an array of fixed length"
)]
pub unsafe trait Plain: Copy + Send + Sync + 'static {
    /// What the bytes mean; compared when a program attaches to a region or connects to a typed link.
    const LAYOUT: Layout;

    /// The fields, in order of declaration.
    #[doc(hidden)]
    const FIELDS: &'static [Field] = &[];
}

macro_rules! numbers {
    ($($number:ident)*) => {$(
        // SAFETY: a number of fixed width: no padding, no address, every bit pattern valid.
        unsafe impl Plain for $number {
            const LAYOUT: Layout =
                Layout::scalar(stringify!($number), size_of::<$number>(), align_of::<$number>());
        }
    )*};
}

numbers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64);

// SAFETY: elements lie side by side without padding, so what holds for each holds for the array.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {
    const LAYOUT: Layout = Layout::array(Self::FIELDS, N, size_of::<Self>(), align_of::<Self>());
    const FIELDS: &'static [Field] = &[Field::new("element", 0, T::LAYOUT)];
}

/// The value whose bytes are all zero.
pub fn zeroed<T: Plain>() -> T {
    const { assert_described::<T>() };
    // SAFETY: every bit pattern of a `Plain` type is valid, all zeroes too.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// The bytes of a value.
pub fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    const { assert_described::<T>() };
    // SAFETY: a `Plain` value is `size_of::<T>()` initialised bytes without padding or interior mutability, and
    // the result borrows it.
    unsafe { std::slice::from_raw_parts((&raw const *value).cast(), size_of::<T>()) }
}

/// The bytes of a value, for writing.
pub fn bytes_of_mut<T: Plain>(value: &mut T) -> &mut [u8] {
    const { assert_described::<T>() };
    // SAFETY: as in `bytes_of`; whatever is written, every bit pattern is a valid `T`.
    unsafe { std::slice::from_raw_parts_mut((&raw mut *value).cast(), size_of::<T>()) }
}

/// Copies a value out of bytes of any alignment; `None` if there are not exactly as many as a `T` has.
pub fn read<T: Plain>(bytes: &[u8]) -> Option<T> {
    const { assert_described::<T>() };
    if bytes.len() != size_of::<T>() {
        return None;
    }
    // SAFETY: the slice holds `size_of::<T>()` readable bytes, and every bit pattern is a valid `T`.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Bytes seen as a value, in place; `None` if length or alignment differ from those of `T`.
pub fn view<T: Plain>(bytes: &[u8]) -> Option<&T> {
    const { assert_described::<T>() };
    let at = bytes.as_ptr().cast::<T>();
    if bytes.len() != size_of::<T>() || !at.is_aligned() {
        return None;
    }
    // SAFETY: length and alignment were checked, every bit pattern is a valid `T`, and the result borrows the
    // bytes.
    Some(unsafe { &*at })
}

/// Bytes seen as a value for writing, in place; `None` if length or alignment differ from those of `T`.
pub fn view_mut<T: Plain>(bytes: &mut [u8]) -> Option<&mut T> {
    const { assert_described::<T>() };
    let at = bytes.as_mut_ptr().cast::<T>();
    if bytes.len() != size_of::<T>() || !at.is_aligned() {
        return None;
    }
    // SAFETY: as in `view`; the exclusive borrow of the bytes becomes that of the value, which leaves
    // initialised bytes behind because a `Plain` type has no padding.
    Some(unsafe { &mut *at })
}

/// Runs the checks inside `T::LAYOUT` at compile time; those of a generic struct run no earlier.
const fn assert_described<T: Plain>() {
    assert!(T::LAYOUT.size == size_of::<T>(), "LAYOUT states another size than the type has");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_values_convert_both_ways() {
        let value = [1_u32, 0x0203_0405];
        assert_eq!(read::<[u32; 2]>(bytes_of(&value)), Some(value));
        assert_eq!(view::<[u32; 2]>(bytes_of(&value)), Some(&value));
        assert_eq!(zeroed::<[u32; 2]>(), [0, 0]);
        let mut copy = [0_u32; 2];
        bytes_of_mut(&mut copy).copy_from_slice(bytes_of(&value));
        assert_eq!(copy, value);
        *view_mut::<[u32; 2]>(bytes_of_mut(&mut copy)).unwrap() = [7, 8];
        assert_eq!(copy, [7, 8]);
    }

    #[test]
    fn wrong_length_and_wrong_alignment_are_refused_where_they_matter() {
        let words = [u32::MAX; 3];
        let bytes = bytes_of(&words);
        assert_eq!(read::<u32>(&bytes[..3]), None);
        assert_eq!(read::<u32>(&bytes[..5]), None);
        assert_eq!(read::<u32>(&bytes[1..5]), Some(u32::MAX));
        assert_eq!(view::<u32>(&bytes[1..5]), None);
        assert_eq!(view::<u32>(&bytes[4..9]), None);
        assert_eq!(view::<u32>(&bytes[4..8]), Some(&u32::MAX));
    }

    #[test]
    fn arrays_of_arrays_say_what_they_are() {
        assert_eq!(<[[u16; 3]; 2]>::LAYOUT.to_string(), "[[u16; 3]; 2]");
        assert_eq!(<[[u16; 3]; 2]>::LAYOUT.size, 12);
        assert_ne!(<[[u16; 3]; 2]>::LAYOUT.hash, <[[u16; 2]; 3]>::LAYOUT.hash);
    }
}
