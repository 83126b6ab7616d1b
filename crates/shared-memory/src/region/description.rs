//! Which primitives the root of a region holds, as text and numbers in its header: for those who do not know its type.

use crate::plain::{Layout, Shape};
use crate::sync::ObjectKind;

/// Arrays within arrays that are described; a type nested deeper is counted and left out.
const DEPTH: usize = 4;

/// A primitive, or an array of equal ones, in the root of a region.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Described {
    /// How its program reaches it: `robots[].pose`; empty for the root itself. A journal has the path of its lock, or
    /// one that goes on from it.
    pub(crate) path: String,
    /// Code of its [`ObjectKind`].
    pub(crate) kind: u8,
    /// Where the first one starts, in bytes from the start of the root.
    pub(crate) offset: u64,
    /// Bytes of one of them.
    pub(crate) len: u64,
    /// For each array around it, from the outside: how many elements, and bytes from one to the next.
    pub(crate) arrays: Vec<(u64, u64)>,
}

/// What a header says about the primitives in its root.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Description {
    pub(crate) objects: Vec<Described>,
    /// Primitives that found no room, arrays counted as one.
    pub(crate) omitted: u32,
}

impl Description {
    /// Describes a root of this layout, in at most `room` bytes.
    pub(crate) fn of(layout: &Layout, room: usize) -> Description {
        let mut description = Description::default();
        let mut left = room.saturating_sub(8);
        walk(layout, 0, String::new(), &[], &mut |described| match left.checked_sub(described.len_bytes()) {
            Some(rest) => {
                left = rest;
                description.objects.push(described);
            }
            None => description.omitted = description.omitted.saturating_add(1),
        });
        description
    }

    /// A root that is one object of `len` bytes.
    pub(crate) fn one(kind: ObjectKind, len: u64) -> Description {
        let one = Described { path: String::new(), kind: kind.code(), offset: 0, len, arrays: Vec::new() };
        Description { objects: vec![one], omitted: 0 }
    }

    /// The bytes as they lie in the header.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((self.objects.len() as u32).to_le_bytes());
        bytes.extend(self.omitted.to_le_bytes());
        for object in &self.objects {
            bytes.extend([object.kind, object.arrays.len() as u8]);
            bytes.extend((object.path.len() as u16).to_le_bytes());
            bytes.extend(object.offset.to_le_bytes());
            bytes.extend(object.len.to_le_bytes());
            for &(count, stride) in &object.arrays {
                bytes.extend(count.to_le_bytes());
                bytes.extend(stride.to_le_bytes());
            }
            bytes.extend(object.path.as_bytes());
        }
        bytes
    }

    /// Reads bytes that anybody may have written; `None` if they are no description.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Description> {
        let mut rest = bytes;
        let count = u32::from_le_bytes(take(&mut rest)?);
        let omitted = u32::from_le_bytes(take(&mut rest)?);
        let mut objects = Vec::new();
        // Bound: every turn takes at least 20 bytes of what is there, or ends in `None`.
        for _ in 0..count {
            let [kind, arrays] = take(&mut rest)?;
            let path_len = u16::from_le_bytes(take(&mut rest)?);
            let offset = u64::from_le_bytes(take(&mut rest)?);
            let len = u64::from_le_bytes(take(&mut rest)?);
            if usize::from(arrays) > DEPTH {
                return None;
            }
            let mut array = || Some((u64::from_le_bytes(take(&mut rest)?), u64::from_le_bytes(take(&mut rest)?)));
            let arrays = (0..arrays).map(|_| array()).collect::<Option<_>>()?;
            let (path, behind) = rest.split_at_checked(path_len.into())?;
            rest = behind;
            objects.push(Described { path: str::from_utf8(path).ok()?.to_owned(), kind, offset, len, arrays });
        }
        Some(Description { objects, omitted })
    }
}

impl Described {
    fn len_bytes(&self) -> usize {
        20 + 16 * self.arrays.len() + self.path.len()
    }

    /// The elements one by one: path with indices and offset in the root, at most `limit` of them.
    pub(crate) fn elements(&self, limit: usize) -> impl Iterator<Item = (String, u64)> + '_ {
        let all = self.arrays.iter().fold(1_u64, |all, &(count, _)| all.saturating_mul(count));
        (0..all).take(limit).map(|number| self.element(number))
    }

    fn element(&self, number: u64) -> (String, u64) {
        let (mut rest, mut offset) = (number, self.offset);
        let mut indices = vec![0; self.arrays.len()];
        for (index, &(count, stride)) in indices.iter_mut().zip(&self.arrays).rev() {
            *index = rest % count;
            rest /= count;
            // Numbers that anybody wrote; whoever uses the sum checks it against the root.
            offset = offset.wrapping_add(index.wrapping_mul(stride));
        }
        let mut path = String::new();
        let mut indices = indices.iter();
        for part in self.path.split_inclusive("[]") {
            match (part.strip_suffix("[]"), indices.next()) {
                (Some(before), Some(index)) => path.push_str(&format!("{before}[{index}]")),
                _ => path.push_str(part),
            }
        }
        (path, offset)
    }
}

/// Calls `found` for every primitive in a layout. As deep as the type is nested in its source text.
fn walk(layout: &Layout, base: u64, path: String, arrays: &[(u64, u64)], found: &mut impl FnMut(Described)) {
    let kind = ObjectKind::of(layout);
    if let Some(kind) = kind {
        let (path, len, arrays) = (path.clone(), layout.size as u64, arrays.to_vec());
        found(Described { path, kind: kind.code(), offset: base, len, arrays });
    }
    for field in layout.fields {
        let at = base + field.offset as u64;
        match layout.shape {
            Shape::Record => {
                let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
                walk(&field.layout, at, path, arrays, found);
            }
            Shape::Array { len } if arrays.len() < DEPTH => {
                let arrays: Vec<_> = arrays.iter().copied().chain([(len as u64, field.layout.size as u64)]).collect();
                walk(&field.layout, at, format!("{path}[]"), &arrays, found);
            }
            // A journal inside it is reached by the same path.
            Shape::Cell if kind.is_some_and(ObjectKind::guards_a_value) => {
                walk(&field.layout, at, path.clone(), arrays, found);
            }
            // Deeper than anybody writes, a number, or a primitive with nothing inside that could be told of.
            _ => {}
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Condvar, Journaled, Latest, Mutex, Plain, RwLock, Shared};

    #[derive(Shared)]
    #[repr(C)]
    struct Arm {
        joints: [Latest<f32>; 3],
        lock: Mutex<u32>,
    }

    #[derive(Shared)]
    #[repr(C)]
    struct Robot {
        arms: [Arm; 2],
        plan: RwLock<[u64; 2]>,
        changed: Condvar,
    }

    #[test]
    fn a_type_is_described_by_paths_kinds_and_offsets() {
        let description = Description::of(&Robot::LAYOUT, 4096);
        let seen: Vec<_> = description.objects.iter().map(|one| (one.path.as_str(), one.kind)).collect();
        assert_eq!(seen, [("arms[].joints[]", 2), ("arms[].lock", 1), ("plan", 5), ("changed", 6)]);
        let joints: Vec<_> = description.objects[0].elements(100).collect();
        assert_eq!(joints.len(), 6);
        let last = size_of::<Arm>() as u64 + 2 * size_of::<Latest<f32>>() as u64;
        assert_eq!(joints[5], ("arms[1].joints[2]".to_owned(), last));
        assert_eq!(description.objects[2].offset, std::mem::offset_of!(Robot, plan) as u64);
        assert_eq!(Description::from_bytes(&description.to_bytes()), Some(description));
        let root = Description::of(&<Mutex<u64> as Shared>::LAYOUT, 4096);
        assert_eq!(root, Description::one(ObjectKind::Mutex, 16));
        assert_eq!(root.objects[0].elements(9).collect::<Vec<_>>(), [(String::new(), 0)]);
    }

    #[derive(Clone, Copy, Plain)]
    #[repr(C)]
    struct Book {
        pages: [Journaled<u64>; 3],
        title: [u8; 16],
    }

    #[test]
    fn journals_are_described_inside_the_lock_that_guards_them() {
        let alone = Description::of(&<Mutex<Journaled<[u64; 2]>> as Shared>::LAYOUT, 4096);
        let seen: Vec<_> = alone.objects.iter().map(|one| (one.path.as_str(), one.kind, one.offset, one.len)).collect();
        assert_eq!(seen, [("", 1, 0, 72), ("", 11, 8, 64)]);
        let within = Description::of(&<RwLock<Book> as Shared>::LAYOUT, 4096);
        let seen: Vec<_> =
            within.objects.iter().map(|one| (one.path.as_str(), one.kind, one.offset, one.len)).collect();
        let value = <RwLock<Book> as Shared>::LAYOUT.fields[0].offset as u64;
        assert_eq!(seen[1..], [("pages[]", 11, value, 48)]);
        assert_eq!(within.objects[1].arrays, [(3, 48)]);
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let whole = Description::of(&Robot::LAYOUT, 4096).to_bytes();
        let short = Description::of(&Robot::LAYOUT, whole.len() - 1);
        assert_eq!((short.objects.len(), short.omitted), (3, 1));
        assert!(short.to_bytes().len() < whole.len());
        assert_eq!(Description::of(&Robot::LAYOUT, 0).omitted, 4);
    }

    #[test]
    fn bytes_that_are_no_description_are_refused_and_bounded() {
        let whole = Description::of(&Robot::LAYOUT, 4096).to_bytes();
        for cut in 0..whole.len() {
            assert_eq!(Description::from_bytes(&whole[..cut]), None, "{cut}");
        }
        let mut many = whole.clone();
        many[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Description::from_bytes(&many), None);
        let mut deep = whole;
        deep[9] = 255;
        assert_eq!(Description::from_bytes(&deep), None);
        let endless =
            Described { path: "x[]".into(), kind: 1, offset: 0, len: 8, arrays: vec![(u64::MAX, u64::MAX); 2] };
        assert_eq!(endless.elements(1000).count(), 1000);
    }
}
