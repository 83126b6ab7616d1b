//! The smallest program that shares a value: run it as often as you like, at the same time if you like.

use wharf::{Mutex, Region};

fn main() -> wharf::Result<()> {
    let hits = Region::<Mutex<u64>>::open_or_create("hits")?;
    let mut count = hits.lock()?;
    *count += 1;
    println!("hit {count}", count = *count);
    Ok(())
}
