//! The wharf command.
fn main() {}
