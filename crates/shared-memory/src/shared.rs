//! Which types may be the root of a region: those that stay sound while other processes write them.
#![allow(unsafe_code)]

use crate::plain::{Field, Layout};

/// A type that may be the root of a [`Region`](crate::Region): built only of primitives
/// (`Mutex<T>`, `RwLock<T>`, `Latest<T>`, `Condvar` and the like), arrays and structs of such.
///
/// Other processes write a region at any moment, so a bare `u64` in it could change under a `&u64`. Every value
/// therefore stands behind a primitive that says how it is written and read. Derive it:
///
/// ```
/// use wharf_shared_memory::{Latest, Mutex, Plain, Shared};
///
/// #[derive(Clone, Copy, Plain)]
/// #[repr(C)]
/// struct Pose {
///     x: f64,
///     y: f64,
/// }
///
/// #[derive(Shared)]
/// #[repr(C)]
/// struct Robot {
///     goals_reached: Mutex<u64>,
///     pose: Latest<Pose>,
///     wheels: [Latest<f64>; 4],
/// }
///
/// assert_eq!(Robot::LAYOUT.name, "Robot");
/// ```
///
/// # Safety
///
/// By implementing it you promise that
///
/// - bytes that are all zero are a valid value (a fresh region holds zeroes),
/// - any bytes that cooperating processes can leave behind, killed at any instruction, are a valid value,
/// - everything reached through `&Self` is safe while other processes use the same bytes: all interior values are
///   behind atomics or a lock that holds across processes,
/// - the value holds no address, no descriptor and no thread identity, and dropping it does nothing,
/// - [`LAYOUT`](Shared::LAYOUT) describes it truthfully: two programs with equal hashes agree on every byte.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand in a region by itself: other processes may write it at any moment",
    label = "not a `Shared` type",
    note = "wrap a value in a primitive: `Mutex<{Self}>` (one at a time, held while you change it) or `Latest<{Self}>` (readers always get the last whole value)",
    note = "for a struct of primitives, write `#[derive(Shared)] #[repr(C)]` on it"
)]
pub unsafe trait Shared: Sync + 'static {
    /// What the bytes mean; compared when a program attaches.
    const LAYOUT: Layout;

    /// The fields, in order of declaration.
    #[doc(hidden)]
    const FIELDS: &'static [Field] = &[];
}

// SAFETY: every promise holds for an array if it holds for each element: elements lie side by side, nothing else
// is in it.
unsafe impl<T: Shared, const N: usize> Shared for [T; N] {
    const LAYOUT: Layout = Layout::array(Self::FIELDS, N, size_of::<Self>(), align_of::<Self>());
    const FIELDS: &'static [Field] = &[Field::new("element", 0, T::LAYOUT)];
}
