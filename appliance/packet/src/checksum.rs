//! The Internet checksum (RFC 1071), in full and incrementally (RFC 1624).
//!
//! One's complement has two zeros. A sum over data that is not all zero is never +0, so [`full`] never
//! returns 0xffff for a real header, and the incremental forms keep it so. Of a packet that
//! arrives with 0xffff where 0 is canonical, both stand for the same sum and both verify.

use core::net::Ipv4Addr;

/// A one's-complement sum being built. Every piece but the last must be of even length.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    pub const ZERO: Self = Self(0);

    /// Adds bytes as 16-bit network-order words; an odd last byte is padded with zero.
    #[inline]
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<4>();
        let mut sum = self.0;
        for word in words {
            // 2^32 words of 2^32 each fit, and a 32-bit word is two 16-bit words after folding.
            sum += u64::from(u32::from_be_bytes(*word));
        }
        let tail = match *rest {
            [a, b, c] => [a, b, c, 0],
            [a, b] => [a, b, 0, 0],
            [a] => [a, 0, 0, 0],
            _ => [0; 4],
        };
        Self(sum + u64::from(u32::from_be_bytes(tail)))
    }

    /// Adds one 16-bit word.
    #[inline]
    #[must_use]
    pub const fn word(self, word: u16) -> Self {
        Self(self.0 + word as u64)
    }

    /// Adds a 32-bit value as two words.
    #[inline]
    #[must_use]
    pub const fn double(self, double: u32) -> Self {
        Self(self.0 + double as u64)
    }

    /// The folded sum; 0xffff over data that includes its own right checksum.
    #[inline]
    pub const fn fold(self) -> u16 {
        let sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        low16((sum & 0xffff) + (sum >> 16))
    }

    /// The complement, ready to be stored in a checksum field.
    #[inline]
    pub const fn finish(self) -> u16 {
        !self.fold()
    }
}

#[inline]
const fn low16(sum: u64) -> u16 {
    let [.., hi, lo] = sum.to_be_bytes();
    u16::from_be_bytes([hi, lo])
}

/// Folds a sum of at most 2^16 words to 16 bits.
#[inline]
const fn fold32(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let [.., hi, lo] = ((sum & 0xffff) + (sum >> 16)).to_be_bytes();
    u16::from_be_bytes([hi, lo])
}

/// The checksum of `bytes`, ready to be stored. The field itself must be zero in `bytes`;
/// over bytes with a right checksum in place the result is 0.
#[inline]
pub fn full(bytes: &[u8]) -> u16 {
    Sum::ZERO.bytes(bytes).finish()
}

/// `check` after one of its words went from `old` to `new` (RFC 1624, equation 3).
#[inline]
pub const fn update(check: u16, old: u16, new: u16) -> u16 {
    Delta::NONE.replace16(old, new).apply(check)
}

/// The change of a checksum for a change of words: computed once per flow, applied per packet.
///
/// Sixteen bits, so that it can live in a flow record: see [`Delta::get`] and [`Delta::from_raw`].
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta(u16);

impl Delta {
    /// Changes nothing.
    pub const NONE: Self = Self(0);

    /// The delta of replacing the words `old` by the words `new`; the shorter one is taken as
    /// followed by zeros.
    pub fn of_change(old: &[u16], new: &[u16]) -> Self {
        let delta = old.iter().fold(Self::NONE, |delta, word| delta.replace16(*word, 0));
        new.iter().fold(delta, |delta, word| delta.replace16(0, *word))
    }

    /// Adds the replacement of one word.
    #[inline]
    #[must_use]
    pub const fn replace16(self, old: u16, new: u16) -> Self {
        Self(fold32(self.0 as u32 + !old as u32 + new as u32))
    }

    /// Adds the replacement of two words that are read as one big-endian value.
    #[inline]
    #[must_use]
    pub const fn replace32(self, old: u32, new: u32) -> Self {
        let [o0, o1, o2, o3] = old.to_be_bytes();
        let [n0, n1, n2, n3] = new.to_be_bytes();
        self.replace16(u16::from_be_bytes([o0, o1]), u16::from_be_bytes([n0, n1]))
            .replace16(u16::from_be_bytes([o2, o3]), u16::from_be_bytes([n2, n3]))
    }

    /// Adds the replacement of an address.
    #[inline]
    #[must_use]
    pub const fn replace_ipv4(self, old: Ipv4Addr, new: Ipv4Addr) -> Self {
        self.replace32(old.to_bits(), new.to_bits())
    }

    /// Both changes, in any order.
    #[inline]
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(fold32(self.0 as u32 + other.0 as u32))
    }

    /// The change back: `delta.negated().apply(delta.apply(check)) == check` for every canonical check.
    #[inline]
    #[must_use]
    pub const fn negated(self) -> Self {
        Self(!self.0)
    }

    /// The checksum after the change. For a UDP checksum use [`Delta::apply_udp`].
    #[inline]
    pub const fn apply(self, check: u16) -> u16 {
        !fold32(!check as u32 + self.0 as u32)
    }

    /// Like [`Delta::apply`] under the UDP rule (RFC 768): 0 means that the sender computed none and
    /// stays 0; a computed 0 is stored as 0xffff.
    #[inline]
    pub const fn apply_udp(self, check: u16) -> u16 {
        match check {
            0 => 0,
            _ => udp_field(self.apply(check)),
        }
    }

    /// The raw value for storage.
    #[inline]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// From a stored raw value; every value is a valid delta.
    #[inline]
    pub const fn from_raw(raw: u16) -> Self {
        Self(raw)
    }
}

/// A computed checksum as it is stored in a UDP header: 0 becomes 0xffff (RFC 768).
#[inline]
pub const fn udp_field(computed: u16) -> u16 {
    if computed == 0 { 0xffff } else { computed }
}

/// The sum over the IPv4 pseudo header of TCP and UDP (RFC 9293, 3.1; RFC 768). `len` is the length
/// of header and payload in bytes.
#[inline]
pub fn pseudo_ipv4(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, len: u16) -> Sum {
    Sum::ZERO.double(src.to_bits()).double(dst.to_bits()).word(u16::from(protocol)).word(len)
}

/// The checksum of a TCP or UDP segment over IPv4, ready to be stored (for UDP through
/// [`udp_field`]); over a segment with a right checksum in place the result is 0.
pub fn transport_ipv4(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, segment: &[u8]) -> u16 {
    // A segment cannot outgrow IPv4's 16-bit total length; saturating keeps the function total.
    let len = u16::try_from(segment.len()).unwrap_or(u16::MAX);
    pseudo_ipv4(src, dst, protocol, len).bytes(segment).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    fn bytes_of(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// The definition, word by word (RFC 1071, 4.1).
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0u16;
        for pair in bytes.chunks(2) {
            let word = u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]);
            let (wrapped, carry) = sum.overflowing_add(word);
            sum = wrapped + u16::from(carry);
        }
        !sum
    }

    #[test]
    fn the_example_of_rfc_1071_sums_to_ddf2() {
        let sum = Sum::ZERO.bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]).fold();
        assert_eq!(sum, 0xddf2);
    }

    #[test]
    fn the_example_of_rfc_1624_gives_zero() {
        // RFC 1624, section 4: HC = 0xDD2F, m = 0x5555, m' = 0x3285, HC' = 0x0000 (not 0xFFFF).
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn none_changes_nothing_at_all() {
        for check in 0..=u16::MAX {
            assert_eq!(Delta::NONE.apply(check), check);
            assert_eq!(Delta::NONE.apply_udp(check), check);
        }
    }

    #[test]
    fn udp_zero_means_no_checksum_and_stays_zero() {
        assert_eq!(Delta::NONE.replace16(1, 2).apply_udp(0), 0);
    }

    #[test]
    fn udp_computed_zero_is_stored_as_all_ones() {
        let delta = Delta::NONE.replace16(0x5555, 0x3285);
        assert_eq!(delta.apply(0xdd2f), 0);
        assert_eq!(delta.apply_udp(0xdd2f), 0xffff);
        assert_eq!(udp_field(0), 0xffff);
        assert_eq!(udp_field(1), 1);
    }

    proptest! {
        #[test]
        fn full_equals_the_definition(bytes in vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(full(&bytes), naive(&bytes));
        }

        #[test]
        fn a_stored_checksum_verifies(mut words in vec(any::<u16>(), 1..40), at: Index) {
            let i = at.index(words.len());
            words[i] = 0;
            words[i] = full(&bytes_of(&words));
            prop_assert_eq!(full(&bytes_of(&words)), 0);
        }

        #[test]
        fn incremental_equals_full_recompute(mut words in vec(any::<u16>(), 1..40), at: Index, new: u16) {
            let (before, i) = (full(&bytes_of(&words)), at.index(words.len()));
            prop_assume!(words.iter().any(|word| *word != 0));
            let old = std::mem::replace(&mut words[i], new);
            // All zero is the one sum that is +0; no header with a version or a port is all zero.
            prop_assume!(words.iter().any(|word| *word != 0));
            prop_assert_eq!(update(before, old, new), full(&bytes_of(&words)));
        }

        #[test]
        fn a_delta_of_many_words_equals_full_recompute(
            old in vec(any::<u16>(), 6), new in vec(any::<u16>(), 6), rest in vec(1u16.., 1..20)
        ) {
            let whole = |words: &[u16]| full(&bytes_of(&[words, &rest[..]].concat()));
            let delta = Delta::of_change(&old, &new);
            prop_assert_eq!(delta.apply(whole(&old)), whole(&new));
            prop_assert_eq!(delta.negated().apply(whole(&new)), whole(&old));
            prop_assert_eq!(Delta::from_raw(delta.get()), delta);
        }

        #[test]
        fn replacing_pieces_equals_replacing_words(old: u32, new: u32, a: u16, b: u16, check in 0u16..0xffff) {
            let words = |v: u32| [(v >> 16) as u16, (v & 0xffff) as u16];
            let [o0, o1] = words(old);
            let [n0, n1] = words(new);
            let pieces = Delta::NONE.replace32(old, new).replace16(a, b);
            let split = Delta::NONE.replace_ipv4(old.into(), new.into()).plus(Delta::NONE.replace16(a, b));
            let whole = Delta::of_change(&[o0, o1, a], &[n0, n1, b]);
            prop_assert_eq!(pieces.apply(check), whole.apply(check));
            prop_assert_eq!(split.apply(check), whole.apply(check));
        }

        #[test]
        fn negation_takes_a_delta_back(raw: u16, check in 0u16..0xffff) {
            let delta = Delta::from_raw(raw);
            prop_assert_eq!(delta.negated().apply(delta.apply(check)), check);
        }

        #[test]
        fn a_broken_checksum_stays_broken(words in vec(1u16.., 4), new: u16, broken in 0u16..0xffff) {
            let right = full(&bytes_of(&words));
            prop_assume!(broken != right);
            let mut changed = words.clone();
            changed[0] = new;
            prop_assert_ne!(update(broken, words[0], new), full(&bytes_of(&changed)));
        }
    }
}
