//! What a gateway does with any bytes: it reads a frame or drops it, and what it read survives the wire.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidings_protocol::ClientFrame;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(frame) = ClientFrame::parse(text) else { return };
    let json = frame.to_json();
    let again = ClientFrame::parse(&json).expect("what is sent is read");
    assert_eq!(again, frame);
    assert_eq!(again.to_json(), json);
});
