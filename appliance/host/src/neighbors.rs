//! The neighbours as the workers see them: one writer, any number of readers, no lock.
//!
//! A slot holds a key (port, address) and a MAC, guarded by a sequence number (a seqlock, after
//! H. Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012). A
//! reader that loads the same even number before and after has read a key and a MAC that were
//! written together: the writer makes the number odd before it touches either (release fence), and
//! publishes the next even one after both (release store). The number has 64 bits and never wraps,
//! so a slot that was given away and came back is told apart. Hence no reader ever takes the MAC of
//! another address. A reader that meets the writer in the act misses: its frame takes the way of an
//! unknown neighbour, which is slow and right. So a lookup is wait-free.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use spillway_lb::ids::PortId;
use spillway_packet::MacAddr;

/// Neighbours that can be published at once.
pub const NEIGHBORS_MAX: usize = 4096;

/// Four slots for each neighbour: a full window of [`WINDOW`] is then next to impossible.
const SLOTS: usize = NEIGHBORS_MAX * 4;
const _: () = assert!(SLOTS.is_power_of_two());

/// Slots that one key may be found in, from its hash on.
const WINDOW: usize = 32;

/// A key is never 0: this bit is in all of them.
const KEY_PRESENT: u64 = 1 << 63;

/// Two slots share a cache line; none spans two.
#[derive(Debug, Default)]
#[repr(align(32))]
struct Slot {
    /// 0: never used. Odd: being written.
    sequence: AtomicU64,
    /// 0: empty.
    key: AtomicU64,
    mac: AtomicU64,
}

impl Slot {
    /// Key and MAC that were written together; `None` while they are being written.
    #[inline]
    fn read(&self) -> Option<(u64, u64)> {
        let before = self.sequence.load(Ordering::Acquire);
        let pair = (self.key.load(Ordering::Relaxed), self.mac.load(Ordering::Relaxed));
        // The loads above stay above: with the writer's release fence, a load that saw a later
        // write makes the load below see that write's odd number, or a still later one.
        fence(Ordering::Acquire);
        let after = self.sequence.load(Ordering::Relaxed);
        (before == after && before.is_multiple_of(2)).then_some(pair)
    }

    /// Only ever called by the one writer.
    fn write(&self, key: u64, mac: u64) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        self.key.store(key, Ordering::Relaxed);
        self.mac.store(mac, Ordering::Relaxed);
        self.sequence.store(sequence + 2, Ordering::Release);
    }
}

/// Addresses to MACs, for workers.
pub struct Neighbors {
    /// A window longer than [`SLOTS`], so that no window wraps.
    slots: Box<[Slot]>,
    /// Secret, so that nobody can aim many addresses at one window.
    seed: u64,
}

impl fmt::Debug for Neighbors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Neighbors").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

impl Neighbors {
    /// An empty table and the one right to write to it.
    pub fn new(seed: u64) -> (Arc<Self>, Writer) {
        let slots = (0..SLOTS + WINDOW).map(|_| Slot::default()).collect();
        let table = Arc::new(Self { slots, seed });
        (Arc::clone(&table), Writer { table })
    }

    /// The MAC of a neighbour; `None` when it is not known (yet), or is being written right now.
    /// At most 32 slots are read; a known neighbour is nearly always in the first.
    #[inline]
    pub fn lookup(&self, port: PortId, address: Ipv4Addr) -> Option<MacAddr> {
        let wanted = key(port, address);
        for slot in self.window(wanted) {
            match slot.read() {
                Some((key, mac)) if key == wanted => return Some(MacAddr::from_u64(mac)),
                Some(_) => {}
                // Perhaps this one; whatever it is, the next lookup will know.
                None => continue,
            }
            // A key is put into the first empty slot of its window, so it is not behind one that
            // was never used.
            if slot.sequence.load(Ordering::Relaxed) == 0 {
                return None;
            }
        }
        None
    }

    /// The slots in which a key can be.
    #[inline]
    fn window(&self, key: u64) -> std::slice::Iter<'_, Slot> {
        let start = self.hash(key) % SLOTS;
        self.slots.get(start..start + WINDOW).unwrap_or_default().iter()
    }

    /// SplitMix64's finalizer (Steele, Lea, Flood 2014): neighbours' addresses are often a
    /// sequence, which one multiplication by an unlucky seed leaves in heaps.
    #[inline]
    fn hash(&self, key: u64) -> usize {
        let z = key ^ self.seed;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from(z ^ (z >> 31)).unwrap_or(0)
    }
}

#[inline]
fn key(port: PortId, address: Ipv4Addr) -> u64 {
    KEY_PRESENT | u64::from(port.get()) << 32 | u64::from(address.to_bits())
}

/// No slot of the address's window is free.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for another neighbour")]
pub struct Crowded;

/// The one right to write. Not `Clone`, and every write needs `&mut`.
#[derive(Debug)]
pub struct Writer {
    table: Arc<Neighbors>,
}

impl Writer {
    /// Publishes a neighbour's MAC, or a new one for it.
    ///
    /// # Errors
    /// The window is full; the neighbour stays unknown to the workers.
    pub fn set(&mut self, port: PortId, address: Ipv4Addr, mac: MacAddr) -> Result<(), Crowded> {
        let wanted = key(port, address);
        let mut free = None;
        for slot in self.table.window(wanted) {
            match slot.key.load(Ordering::Relaxed) {
                present if present == wanted => {
                    if slot.mac.load(Ordering::Relaxed) != mac.as_u64() {
                        slot.write(wanted, mac.as_u64());
                    }
                    return Ok(());
                }
                0 => free = free.or(Some(slot)),
                _ => {}
            }
        }
        free.ok_or(Crowded)?.write(wanted, mac.as_u64());
        Ok(())
    }

    /// Takes a neighbour back; nothing happens when it was not published.
    pub fn remove(&mut self, port: PortId, address: Ipv4Addr) {
        let wanted = key(port, address);
        let mut window = self.table.window(wanted);
        if let Some(slot) = window.find(|slot| slot.key.load(Ordering::Relaxed) == wanted) {
            slot.write(0, 0);
        }
    }
}

#[cfg(test)]
mod tests;
