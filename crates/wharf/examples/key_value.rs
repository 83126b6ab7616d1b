//! A store of keys and values that any program can ask over `tcp:`, here one in Python that needs nothing but its standard
//! library.
//!
//! `cargo run --example key_value` starts the store, has `examples/key_value_client.py` use it, and says what is in it afterwards.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use wharf::{Options, RecvError, Request, SendError};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/key_value_client.py");

/// Answers `get KEY`, `set KEY VALUE`, `delete KEY`, and `list PREFIX` with one result for each key.
fn answer(store: &mut BTreeMap<String, String>, request: Request) -> Result<(), SendError> {
    let text = String::from_utf8_lossy(&request).into_owned();
    let words: Vec<&str> = text.splitn(3, ' ').collect();
    match words[..] {
        ["get", key] => match store.get(key) {
            Some(value) => request.reply(value.as_bytes()),
            None => request.fail(&format!("there is no {key}")),
        },
        ["set", key, value] => {
            let before = store.insert(key.to_owned(), value.to_owned());
            request.reply(before.unwrap_or_default().as_bytes())
        }
        ["delete", key] => request.reply(store.remove(key).unwrap_or_default().as_bytes()),
        ["list", prefix] => {
            let mut results = request.stream();
            for (key, value) in store.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix)) {
                results.send(format!("{key} = {value}").as_bytes())?;
            }
            results.end()
        }
        _ => request.fail("expected get, set, delete or list"),
    }
}

fn main() -> wharf::Result<()> {
    let mut server = Options::new().service("tcp:127.0.0.1:0").server()?;
    let address = server.address().map(ToString::to_string).unwrap_or_default();
    let port = address.rsplit(':').next().unwrap_or_default().to_owned();
    let mut client = Command::new("python3").args([CLIENT, "127.0.0.1", &port]).spawn()?;
    let mut store = BTreeMap::new();
    // The client ends it.
    while client.try_wait()?.is_none() {
        match server.recv_timeout(Duration::from_millis(20)) {
            // A client that is gone by then needs no answer.
            Ok(request) => drop(answer(&mut store, request)),
            Err(RecvError::Timeout) => {}
            Err(error) => return Err(error.into()),
        }
    }
    println!("the store has {store:?}");
    Ok(())
}
