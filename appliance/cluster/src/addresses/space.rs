//! The addresses of one pool as runs of integers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Family;
use crate::pool::{Pool, Span};

/// Both ends included.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Run {
    first: u128,
    last: u128,
}

/// What a pool may lend: disjoint ascending runs of each family.
#[derive(Clone, Debug)]
pub(super) struct Space {
    v4: Vec<Run>,
    v6: Vec<Run>,
    avoids_buggy: bool,
}

impl Space {
    pub(super) fn of(pool: &Pool) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for span in &pool.spans {
            let (first, last) = match *span {
                Span::Prefix(net) => (net.network(), net.broadcast()),
                Span::Range { first, last } => (first, last),
            };
            let run = Run { first: number(first), last: number(last) };
            match (Family::of(first), Family::of(last)) {
                (Family::V4, Family::V4) => v4.push(run),
                (Family::V6, Family::V6) => v6.push(run),
                // Not a range; the settings refuse it, and so it lends nothing.
                (Family::V4, Family::V6) | (Family::V6, Family::V4) => {}
            }
        }
        Self { v4: merged(v4), v6: merged(v6), avoids_buggy: pool.avoid_buggy_ips }
    }

    /// Whether the address is within, even if it is never lent.
    pub(super) fn spans(&self, address: IpAddr) -> bool {
        let at = number(address);
        let runs = self.runs(Family::of(address));
        let after = runs.partition_point(|run| run.first <= at);
        after.checked_sub(1).and_then(|i| runs.get(i)).is_some_and(|run| at <= run.last)
    }

    /// Whether the address is within and never lent.
    pub(super) fn avoids(&self, address: IpAddr) -> bool {
        self.avoids_buggy && is_buggy(address)
    }

    pub(super) fn lends(&self, address: IpAddr) -> bool {
        self.spans(address) && !self.avoids(address)
    }

    pub(super) fn has(&self, family: Family) -> bool {
        !self.runs(family).is_empty()
    }

    /// How many addresses it can lend; saturates.
    pub(super) fn size(&self) -> u128 {
        let all = self.v4.iter().chain(&self.v6);
        let total = all
            .fold(0_u128, |sum, run| sum.saturating_add((run.last - run.first).saturating_add(1)));
        if !self.avoids_buggy {
            return total;
        }
        // One ends in .0 where 256 divides it, one in .255 where 256 divides its successor.
        let multiples = |below: u128| below.div_ceil(256);
        let buggy = self.v4.iter().map(|run| {
            let zeros = multiples(run.last + 1) - multiples(run.first);
            let ones = multiples(run.last + 2) - multiples(run.first + 1);
            zeros + ones
        });
        total - buggy.sum::<u128>()
    }

    /// The lowest address from `from` on that `taken` does not hold. `taken(first, last)` lists, ascending, what
    /// is lent between the two: the walk costs one step per lent address, none per address of the pool.
    pub(super) fn lowest<T: Iterator<Item = IpAddr>>(
        &self,
        family: Family,
        from: u128,
        taken: impl Fn(IpAddr, IpAddr) -> T,
    ) -> Option<IpAddr> {
        for run in self.runs(family).iter().filter(|run| run.last >= from) {
            let mut at = run.first.max(from);
            let mut lent =
                taken(address(family, at), address(family, run.last)).map(number).peekable();
            while at <= run.last {
                let candidate = address(family, at);
                if lent.next_if_eq(&at).is_none() && !self.avoids(candidate) {
                    return Some(candidate);
                }
                let Some(next) = at.checked_add(1) else { break };
                at = next;
            }
        }
        None
    }

    fn runs(&self, family: Family) -> &[Run] {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

/// Sorted, and overlapping or touching runs joined.
fn merged(mut runs: Vec<Run>) -> Vec<Run> {
    runs.retain(|run| run.first <= run.last);
    runs.sort_by_key(|run| run.first);
    let mut out: Vec<Run> = Vec::with_capacity(runs.len());
    for run in runs {
        match out.last_mut() {
            Some(before) if run.first <= before.last.saturating_add(1) => {
                before.last = before.last.max(run.last);
            }
            Some(_) | None => out.push(run),
        }
    }
    out
}

/// Some old routers and firmwares take these for network and broadcast addresses (RFC 919).
fn is_buggy(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => matches!(v4.octets(), [.., 0 | 255]),
        IpAddr::V6(_) => false,
    }
}

pub(super) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The inverse of [`number`]; an IPv4 number is below 2^32 because its run was built from addresses.
fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX))),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(number)),
    }
}
