//! Derive macros for types that may live in shared memory.
