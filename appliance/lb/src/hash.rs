//! Keyed hashing. An attacker who does not know the key cannot aim at a bucket or a port.

use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;

use siphasher::sip::{SipHasher13, SipHasher24};

use crate::conntrack::FlowKey;

/// The box's secret of 128 bits: drawn at boot, kept with the flow table.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct HashKey(pub [u64; 2]);

impl std::fmt::Debug for HashKey {
    /// The key is a secret: it is not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(..)")
    }
}

/// Multiplies to 128 bits and folds: the mixing step of wyhash.
pub(crate) const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    #[expect(clippy::cast_possible_truncation, reason = "the fold takes both halves")]
    let folded = (product as u64) ^ ((product >> 64) as u64);
    folded
}

/// Hash of a flow key that is the same on every box and after every start, so that Maglev picks the
/// same backend there. It can be foreseen, so it decides nothing but the backend.
pub fn shared(key: FlowKey) -> u64 {
    let mut hasher = SipHasher13::new_with_key(b"spillway flows\0\0");
    for word in key.words() {
        hasher.write_u64(word);
    }
    hasher.finish()
}

/// Hash of a client's address that is the same on every box and every node, after every start and for every
/// Service. An IPv4 address that is written as IPv6 is the same client.
#[inline]
pub fn client(address: IpAddr) -> u64 {
    let mut hasher = SipHasher13::new_with_key(b"spillway clients");
    match address.to_canonical() {
        IpAddr::V4(v4) => hasher.write(&v4.octets()),
        IpAddr::V6(v6) => hasher.write(&v6.octets()),
    }
    hasher.finish()
}

impl HashKey {
    /// Hash of a flow key for the table: two multiplications, secret operands, never shown outside.
    #[inline]
    pub const fn flow(self, key: FlowKey) -> u64 {
        let [a, b] = key.words();
        fold(fold(a ^ self.0[0], b ^ self.0[1]) ^ self.0[1], 0x9e37_79b9_7f4a_7c15 ^ self.0[0])
    }

    /// Hash whose result can be seen from outside (SNAT ports, RFC 6056): SipHash-2-4.
    pub fn visible(self, key: FlowKey, backend: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.0[0], self.0[1]);
        for word in key.words() {
            hasher.write_u64(word);
        }
        hasher.write_u64(backend);
        hasher.finish()
    }
}

impl BuildHasher for HashKey {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0[0], self.0[1])
    }
}
