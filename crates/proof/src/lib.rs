//! Real processes killed, stepped, starved and scribbled on: the test rings above unit tests.
