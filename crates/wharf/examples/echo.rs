//! Sends each message back, at any address and to one after the other: `cargo run --example echo -- unix:echo`.
//!
//! The other side of the clients in Python (docs/wire.md), until Ctrl-C.

fn main() -> wharf::Result<()> {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("which address? cargo run --example echo -- unix:echo");
        std::process::exit(2);
    };
    let mut listener = wharf::listen(&address)?;
    println!("answering at {}", listener.address());
    loop {
        let (mut tx, mut rx) = listener.accept()?.split();
        // Its end, or its death, is not that of the others.
        while let Ok(message) = rx.recv() {
            if tx.send(&message).is_err() {
                break;
            }
        }
    }
}
