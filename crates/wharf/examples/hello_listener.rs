//! The smallest program that takes messages: it sends each one back until the other side closes.

fn main() -> wharf::Result<()> {
    let (mut tx, mut rx) = wharf::listen("shm:echo")?.accept()?.split();
    while let Ok(message) = rx.recv() {
        tx.send(&message)?;
    }
    Ok(())
}
