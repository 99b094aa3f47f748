//! Requests to the gateway and its API.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidings_server::fuzz::requests(bytes));
