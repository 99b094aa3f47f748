//! The wasm as a JavaScript string.
//!
//! The bytes that occur most often take one printable character, the others two: one of two prefixes and
//! a second character. Unlike base64 this keeps bytes whole, so gzip finds the same repetitions as in
//! the binary. `pkg-npm/src/decode.js` reads it.

/// What would need an escape in JavaScript or in HTML.
const FORBIDDEN: &[u8] = b"\"\\$'<&`";

pub(crate) struct Encoded {
    /// Printable ASCII without a character that needs an escape.
    pub(crate) text: String,
    /// The bytes that take one character, as a set: 64 hexadecimal digits, the lowest four bytes first.
    pub(crate) singles: String,
}

fn alphabet() -> Vec<u8> {
    (b' '..=b'~').filter(|character| !FORBIDDEN.contains(character)).collect()
}

pub(crate) fn encode(bytes: &[u8]) -> Encoded {
    let alphabet = alphabet();
    let (prefixes, characters) = alphabet.split_at(2);

    let mut counts = [0_usize; 256];
    for &byte in bytes {
        counts[usize::from(byte)] += 1;
    }
    let mut by_count: Vec<u8> = (0..=255).collect();
    by_count.sort_by_key(|&byte| std::cmp::Reverse(counts[usize::from(byte)]));
    let (mut singles, mut doubles) = {
        let (frequent, rest) = by_count.split_at(characters.len());
        (frequent.to_vec(), rest.to_vec())
    };
    singles.sort_unstable();
    doubles.sort_unstable();

    let mut codes: Vec<Vec<u8>> = vec![Vec::new(); 256];
    for (&byte, &character) in singles.iter().zip(characters) {
        codes[usize::from(byte)] = vec![character];
    }
    for (index, &byte) in doubles.iter().enumerate() {
        codes[usize::from(byte)] =
            vec![prefixes[index / characters.len()], characters[index % characters.len()]];
    }

    let text =
        bytes.iter().flat_map(|&byte| codes[usize::from(byte)].iter().copied().map(char::from)).collect();
    let singles = (0..64)
        .map(|digit| {
            (0..4)
                .filter(|bit| singles.binary_search(&(digit * 4 + bit)).is_ok())
                .map(|bit| 1_u32 << bit)
                .sum::<u32>()
        })
        .filter_map(|digit| char::from_digit(digit, 16))
        .collect();
    Encoded { text, singles }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same steps as `decode.js`.
    fn decode(encoded: &Encoded) -> Vec<u8> {
        let alphabet: Vec<u8> = alphabet();
        let (mut singles, mut doubles) = (Vec::new(), Vec::new());
        for byte in 0..=255_u8 {
            let digit = encoded.singles.as_bytes()[usize::from(byte >> 2)];
            let digit = char::from(digit).to_digit(16).unwrap();
            let class = if digit >> (byte & 3) & 1 == 1 { &mut singles } else { &mut doubles };
            class.push(byte);
        }
        let mut bytes = Vec::new();
        let mut prefix = None;
        for character in encoded.text.bytes() {
            let place = alphabet.iter().position(|&known| known == character).unwrap();
            match (place, prefix.take()) {
                (0 | 1, None) => prefix = Some(place),
                (place, None) => bytes.push(singles[place - 2]),
                (place, Some(prefix)) => bytes.push(doubles[prefix * 86 + place - 2]),
            }
        }
        bytes
    }

    #[test]
    fn every_byte_survives() {
        let mut bytes: Vec<u8> = (0..=255).collect();
        bytes.extend([0; 300]);
        bytes.extend((0..=255).rev().step_by(3));
        assert_eq!(decode(&encode(&bytes)), bytes);
        assert!(decode(&encode(&[])).is_empty());
    }

    #[test]
    fn nothing_needs_an_escape() {
        let encoded = encode(&(0..=255).collect::<Vec<_>>());
        assert_eq!(alphabet().len(), 88);
        assert!(encoded.text.bytes().all(|c| (b' '..=b'~').contains(&c)));
        assert!(encoded.text.bytes().all(|c| !FORBIDDEN.contains(&c)));
    }

    #[test]
    fn frequent_bytes_take_one_character() {
        assert_eq!(encode(&[200; 1000]).text.len(), 1000);
    }
}
