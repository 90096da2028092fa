//! Frames as people read them.

use crate::error::{LabError, Result};

/// Bytes in a line of [`dump`].
const LINE: usize = 16;

/// The bytes that lines of two-digit hexadecimal numbers say. Blanks separate, line ends mean
/// nothing.
///
/// # Errors
/// On anything else: a literal with a slip in it is no expectation.
pub fn bytes(lines: &[&str]) -> Result<Vec<u8>> {
    let words = lines.iter().flat_map(|line| line.split_whitespace());
    words
        .map(|word| {
            // `from_str_radix` takes a sign, too.
            let is_byte = word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            let byte = u8::from_str_radix(word, 16).ok().filter(|_| is_byte);
            byte.ok_or_else(|| LabError::Expectation(format!("`{word}` is no byte in hex")))
        })
        .collect()
}

/// The bytes, 16 to a line, each line with the offset of its first byte.
pub fn dump(bytes: &[u8]) -> String {
    let line = |(number, chunk): (usize, &[u8])| {
        let words: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{:4}  {}\n", number.saturating_mul(LINE), words.join(" "))
    };
    bytes.chunks(LINE).enumerate().map(line).collect()
}

/// `None` when both are the same; otherwise both, and where they part.
pub fn difference(expected: &[u8], got: &[u8]) -> Option<String> {
    if expected == got {
        return None;
    }
    let same = expected.iter().zip(got).take_while(|(left, right)| left == right).count();
    let (expected_len, got_len) = (expected.len(), got.len());
    Some(format!(
        "differs from byte {same} on\nexpected {expected_len} bytes:\n{}got {got_len} bytes:\n{}",
        dump(expected),
        dump(got)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_hex_are_joined() {
        assert_eq!(bytes(&["00 ff", " 1a"]).unwrap(), [0, 0xff, 0x1a]);
        assert!(bytes(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_slip_in_a_literal_is_an_error() {
        for slip in ["0", "000", "0g", "+1", "0x1"] {
            assert!(bytes(&["00", slip]).unwrap_err().to_string().contains(slip));
        }
    }

    #[test]
    fn a_difference_names_its_place_and_shows_both() {
        assert_eq!(difference(b"abc", b"abc"), None);
        let difference = difference(b"abc", b"abd!").unwrap();
        assert!(difference.starts_with("differs from byte 2"), "{difference}");
        assert!(difference.contains("61 62 63\n") && difference.contains("61 62 64 21\n"));
    }

    #[test]
    fn a_longer_frame_with_the_same_beginning_differs() {
        assert!(difference(b"ab", b"abc").unwrap().starts_with("differs from byte 2"));
    }
}
