//! Handshakes that go the short way, beside what actix-web makes of them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidings_server::fuzz::handshake(bytes));
