//! Real processes killed, stepped, starved and scribbled on: the test rings above unit tests.
//!
//! Each file in `tests/` is one ring. The other processes are the binaries in `src/bin/`: `victim`
//! plays whatever part a ring gives it by a verb, and `quiet` proves what it does not do. This
//! library is what both sides of that stage share.

#![forbid(unsafe_code)]

pub mod asking;
pub mod attack;
pub mod berths;
pub mod board;
pub mod certificates;
pub mod diary;
pub mod entries;
pub mod feed;
pub mod footprint;
pub mod handing;
pub mod letter;
pub mod living;
pub mod medley;
pub mod outside;
pub mod place;
pub mod points;
pub mod process;
pub mod promptness;
pub mod random;
pub mod relay;
pub mod said;
pub mod scene;
pub mod stepping;
pub mod words;
pub mod working;
pub mod yard;
