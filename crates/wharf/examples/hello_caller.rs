//! The smallest program that sends one: it says what comes back.

fn main() -> wharf::Result<()> {
    let mut link = wharf::connect_timeout("shm:echo", std::time::Duration::from_secs(5))?;
    link.send(b"hi")?;
    println!("{}", String::from_utf8_lossy(&link.recv()?));
    Ok(())
}
