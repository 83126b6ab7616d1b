//! What the bytes of a type mean, as a value that two programs can compare.

use std::fmt;

/// What the bytes of a type mean. Two programs whose hashes for a type are equal agree on every byte of it.
///
/// The hash is fixed by `docs/layout.md`; it covers names, types, offsets, size and alignment, all the way down.
/// The [`Display`](fmt::Display) form is the type as one would write it: `Pose`, `[f64; 4]`, `Mutex<u64>`; the
/// alternate form (`{:#}`) lists every field with its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layout {
    /// FNV-1a hash, 64 bits, over everything below.
    pub hash: u64,
    /// The type's own name, without module or type arguments; `"array"` for an array.
    pub name: &'static str,
    /// Size in bytes.
    pub size: usize,
    /// Alignment in bytes.
    pub align: usize,
    /// The fields of a struct, the element of an array, the value inside a primitive.
    pub fields: &'static [Field],
    /// What kind of type it is.
    pub shape: Shape,
    /// Of a primitive: the version of its own words, then those of the parts that it is made of, as `docs/layout.md` numbers
    /// them. Otherwise none.
    pub versions: &'static [u32],
}

/// What kind of type a [`Layout`] describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// A number, or another type that is not taken apart.
    Scalar,
    /// A fixed number of equal elements.
    Array {
        /// How many.
        len: usize,
    },
    /// A struct with named or numbered fields.
    Record,
    /// A primitive around one value: a mutex, a last-value cell.
    Cell,
}

/// One field of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// Its name; `"0"`, `"1"` … in a tuple struct.
    pub name: &'static str,
    /// Where it starts, in bytes from the start of the type.
    pub offset: usize,
    /// What its own bytes mean.
    pub layout: Layout,
}

impl Field {
    /// Describes one field.
    pub const fn new(name: &'static str, offset: usize, layout: Layout) -> Field {
        Field { name, offset, layout }
    }
}

impl Layout {
    /// A type that is not taken apart.
    pub const fn scalar(name: &'static str, size: usize, align: usize) -> Layout {
        Layout::new(Shape::Scalar, name, &[], &[], size, align)
    }

    /// An array of `len` elements; `element` holds exactly the one field that describes an element.
    pub const fn array(element: &'static [Field], len: usize, size: usize, align: usize) -> Layout {
        Layout::new(Shape::Array { len }, "array", &[], element, size, align)
    }

    /// A struct.
    pub const fn record(name: &'static str, fields: &'static [Field], size: usize, align: usize) -> Layout {
        Layout::new(Shape::Record, name, &[], fields, size, align)
    }

    /// A primitive around one value; `value` holds exactly the one field that describes the value. Its own words and those of
    /// its parts are told by their versions: programs that disagree about one must not share it.
    pub const fn cell(
        name: &'static str,
        versions: &'static [u32],
        value: &'static [Field],
        size: usize,
        align: usize,
    ) -> Layout {
        Layout::new(Shape::Cell, name, versions, value, size, align)
    }

    const fn new(
        shape: Shape,
        name: &'static str,
        versions: &'static [u32],
        fields: &'static [Field],
        size: usize,
        align: usize,
    ) -> Layout {
        let (tag, len) = match shape {
            Shape::Scalar => (b's', 0),
            Shape::Array { len } => (b'a', len),
            Shape::Record => (b'r', 0),
            Shape::Cell => (b'c', 0),
        };
        let mut hash = Fnv::new().byte(tag).text(name);
        if let Shape::Cell = shape {
            hash = hash.versions(versions);
        }
        let mut hash = hash.number(len as u64).number(fields.len() as u64);
        let mut at = 0;
        while at < fields.len() {
            let field = &fields[at];
            hash = hash.text(field.name).number(field.offset as u64).number(field.layout.hash);
            at += 1;
        }
        let hash = hash.number(size as u64).number(align as u64).finish();
        Layout { hash, name, size, align, fields, shape, versions }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.shape, self.fields) {
            (Shape::Array { len }, [element]) => write!(f, "[{}; {len}]", element.layout)?,
            (Shape::Cell, [value]) => write!(f, "{}<{}>", self.name, value.layout)?,
            _ => f.write_str(self.name)?,
        }
        if f.alternate() {
            write!(f, " ({} bytes, layout {:016x})", self.size, self.hash)?;
            // As deep as the type is nested in its source text.
            self.list_fields(f, 0, 1)?;
        }
        Ok(())
    }
}

impl Layout {
    fn list_fields(&self, f: &mut fmt::Formatter<'_>, base: usize, depth: usize) -> fmt::Result {
        match self.shape {
            Shape::Scalar => {}
            // The name already says what an element or a value is; only what is inside needs lines.
            Shape::Array { .. } | Shape::Cell => {
                for field in self.fields {
                    field.layout.list_fields(f, base + field.offset, depth)?;
                }
            }
            Shape::Record => {
                for field in self.fields {
                    let at = base + field.offset;
                    write!(f, "\n{:indent$}{at:>6}  {}: {}", "", field.name, field.layout, indent = 2 * depth)?;
                    field.layout.list_fields(f, at, depth + 1)?;
                }
            }
        }
        Ok(())
    }
}

/// FNV-1a with 64 bits, usable in constants.
///
/// Basis and prime as published by its authors (Fowler, Noll, Vo: draft-eastlake-fnv, "The FNV Non-Cryptographic
/// Hash Algorithm", and <http://www.isthe.com/chongo/tech/comp/fnv/>). It guards against mistakes, not attacks.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    const fn byte(self, byte: u8) -> Fnv {
        Fnv((self.0 ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3))
    }

    const fn number(self, number: u64) -> Fnv {
        self.bytes(&number.to_le_bytes())
    }

    /// The length goes first, so that two neighbouring texts cannot trade letters unnoticed.
    const fn text(self, text: &str) -> Fnv {
        self.number(text.len() as u64).bytes(text.as_bytes())
    }

    /// How many there are goes first.
    const fn versions(self, versions: &[u32]) -> Fnv {
        let mut hash = self.number(versions.len() as u64);
        let mut at = 0;
        while at < versions.len() {
            hash = hash.number(versions[at] as u64);
            at += 1;
        }
        hash
    }

    const fn bytes(mut self, bytes: &[u8]) -> Fnv {
        let mut at = 0;
        while at < bytes.len() {
            self = self.byte(bytes[at]);
            at += 1;
        }
        self
    }

    const fn finish(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const U32: Layout = Layout::scalar("u32", 4, 4);
    const U64: Layout = Layout::scalar("u64", 8, 8);

    const A: Field = Field::new("a", 0, U32);
    const B: Field = Field::new("b", 4, U32);
    const BASE: &[Field] = &[A, B];
    const RENAMED: &[Field] = &[A, Field::new("c", 4, U32)];
    const SWAPPED: &[Field] = &[Field::new("b", 0, U32), Field::new("a", 4, U32)];
    const MOVED: &[Field] = &[Field::new("a", 4, U32), Field::new("b", 0, U32)];
    const RETYPED: &[Field] = &[A, Field::new("b", 4, U64)];
    const SHORTER: &[Field] = &[A];
    const LETTER_MOVED: &[Field] = &[Field::new("ab", 0, U32), Field::new("", 4, U32)];
    const ELEMENT: &[Field] = &[Field::new("element", 0, U32)];

    #[test]
    fn the_hash_agrees_with_the_published_test_vectors() {
        assert_eq!(Fnv::new().bytes(b"").finish(), 0xcbf2_9ce4_8422_2325);
        assert_eq!(Fnv::new().bytes(b"a").finish(), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(Fnv::new().bytes(b"foobar").finish(), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn every_part_of_a_layout_changes_its_hash() {
        let layouts = [
            Layout::record("Pair", BASE, 8, 4),
            Layout::record("Couple", BASE, 8, 4),
            Layout::record("Pair", RENAMED, 8, 4),
            Layout::record("Pair", SWAPPED, 8, 4),
            Layout::record("Pair", MOVED, 8, 4),
            Layout::record("Pair", RETYPED, 8, 4),
            Layout::record("Pair", SHORTER, 8, 4),
            Layout::record("Pair", LETTER_MOVED, 8, 4),
            Layout::record("Pair", BASE, 16, 4),
            Layout::record("Pair", BASE, 8, 8),
            Layout::cell("Pair", &[], BASE, 8, 4),
            Layout::cell("Pair", &[1], BASE, 8, 4),
            Layout::cell("Pair", &[2], BASE, 8, 4),
            Layout::cell("Pair", &[2, 1], BASE, 8, 4),
            Layout::cell("Pair", &[2, 2], BASE, 8, 4),
            Layout::array(ELEMENT, 2, 8, 4),
            Layout::array(ELEMENT, 3, 8, 4),
        ];
        for (at, layout) in layouts.iter().enumerate() {
            let twin = layouts[..at].iter().find(|earlier| earlier.hash == layout.hash);
            assert_eq!(twin, None, "has the same hash as {layout:?}");
        }
    }

    #[test]
    fn a_layout_reads_like_the_type() {
        const ARRAY: Layout = Layout::array(ELEMENT, 3, 12, 4);
        const VALUE: &[Field] = &[Field::new("value", 4, ARRAY)];
        const CELL: Layout = Layout::cell("Mutex", &[2], VALUE, 16, 4);
        const INNER: &[Field] = &[A];
        const FIELDS: &[Field] =
            &[Field::new("cell", 0, CELL), Field::new("n", 16, Layout::record("Inner", INNER, 4, 4))];
        assert_eq!(CELL.to_string(), "Mutex<[u32; 3]>");
        let both = Layout::record("Both", FIELDS, 20, 4);
        assert_eq!(both.to_string(), "Both");
        let long = format!("{both:#}");
        let (first, rest) = long.split_once('\n').expect("one line for each field");
        assert!(first.starts_with("Both (20 bytes, layout "), "{first}");
        assert_eq!(rest, "       0  cell: Mutex<[u32; 3]>\n      16  n: Inner\n        16  a: u32");
    }
}
