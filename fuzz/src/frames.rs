//! WebSocket frames, what sessions make of them, and what is made of the same bytes cut otherwise.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidings_server::fuzz::frames(bytes));
