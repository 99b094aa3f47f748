//! What a channel, an event and an idempotency key may be called.

/// The longest channel name, in bytes of UTF-8.
pub const MAX_CHANNEL_BYTES: usize = 200;

/// The longest event name, in bytes of UTF-8.
pub const MAX_EVENT_BYTES: usize = 200;

/// Whether `name` may name a channel: 1 to [`MAX_CHANNEL_BYTES`] bytes, printable, no white space.
pub fn is_valid_channel(name: &str) -> bool {
    (1..=MAX_CHANNEL_BYTES).contains(&name.len())
        && !name.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// Whether `name` may name an event: 1 to [`MAX_EVENT_BYTES`] bytes, no control characters.
pub fn is_valid_event(name: &str) -> bool {
    (1..=MAX_EVENT_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// The longest idempotency key, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 64;

/// Whether `key` may be the idempotency key of a publish: 1 to [`MAX_KEY_BYTES`] bytes, no control characters.
pub fn is_valid_key(key: &str) -> bool {
    (1..=MAX_KEY_BYTES).contains(&key.len()) && !key.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_names() {
        for good in ["a", "private-orders.42", "комната", "a*b", &"x".repeat(200)] {
            assert!(is_valid_channel(good), "{good}");
        }
        for bad in ["", "a b", "a\tb", "a\u{0}", "a\u{a0}b", "a\n", &"x".repeat(201), &"ж".repeat(101)] {
            assert!(!is_valid_channel(bad), "{bad:?}");
        }
    }

    #[test]
    fn event_names() {
        assert!(is_valid_event("order paid"));
        for bad in ["", "a\nb", "a\rb", &"x".repeat(201)] {
            assert!(!is_valid_event(bad), "{bad:?}");
        }
    }

    #[test]
    fn idempotency_keys() {
        assert!(is_valid_key("01JZ8Q4M0C5T6V7W8X9Y0A1B2D"));
        for bad in ["", "a\nb", &"x".repeat(65)] {
            assert!(!is_valid_key(bad), "{bad:?}");
        }
    }
}
