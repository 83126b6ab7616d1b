//! The smallest program that shares a value: run it as often as you like, at the same time if you like.

use wharf::{LockError, Mutex, Region};

fn main() -> wharf::Result<()> {
    let hits = Region::<Mutex<u64>>::open_or_create("hits")?;
    // A number is whole whoever was killed while he held it.
    let mut count = hits.lock().or_else(LockError::repaired)?;
    *count += 1;
    println!("hit {count}", count = *count);
    Ok(())
}
