//! Addresses, links and transports: ship it as a message.
