//! Bytes that anybody can compute again: the content of `/big`, of records and of datagrams.

/// Bytes per step of the generator.
const WORD: u64 = 8;

/// One output of `SplitMix64` (Steele, Lea, Flood: OOPSLA'14) for the counter value `index`.
pub const fn word(index: u64) -> u64 {
    let mut z = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Fills `out` with the stream's bytes from `offset` on; `offset` is a multiple of 8.
pub fn fill(offset: u64, out: &mut [u8]) {
    debug_assert!(offset.is_multiple_of(WORD), "streams are cut at words");
    let mut index = offset / WORD;
    for chunk in out.chunks_mut(8) {
        for (byte, value) in chunk.iter_mut().zip(word(index).to_le_bytes()) {
            *byte = value;
        }
        index = index.wrapping_add(1);
    }
}

/// FNV-1a over a stream that comes in pieces: enough to notice a changed, lost or swapped byte.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// Takes the next piece in.
    pub fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The sum so far.
    pub const fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_cut_in_pieces_is_the_same_stream() {
        let mut whole = [0; 100];
        fill(0, &mut whole);
        let mut pieces = [0; 100];
        let (head, tail) = pieces.split_at_mut(64);
        fill(0, head);
        fill(64, tail);
        assert_eq!(whole, pieces);
        assert_ne!(whole[..8], whole[8..16], "the stream does not repeat itself at once");
    }

    #[test]
    fn a_digest_notices_swapped_bytes() {
        let sum = |bytes: &[u8]| {
            let mut digest = Digest::default();
            digest.update(bytes);
            digest.value()
        };
        assert_eq!(sum(b"foobar"), 0x8594_4171_f739_67e8, "the published FNV-1a vector");
        assert_ne!(sum(b"ab"), sum(b"ba"));
    }
}
