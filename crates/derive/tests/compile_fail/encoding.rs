//! Types that serde does not know are errors where they are written.

use wharf_message_passing::service;

struct Opaque;

#[service]
trait Asked {
    fn opaque(&self) -> Opaque; //~ `Opaque: serde::Serialize` is not satisfied //~ `Opaque: serde::de::DeserializeOwned` is not satisfied
}

fn main() {}
