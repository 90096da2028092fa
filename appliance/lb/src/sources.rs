//! Which clients may open flows to a Service (`loadBalancerSourceRanges`).
//!
//! Asked for the first packet of a flow, before a backend is picked and before SNAT hides the client;
//! a flow that exists goes on when the ranges change. It holds for every frontend of the Service: where
//! it should not, as for node ports in Kubernetes, the Model has a Service of its own without ranges.

use std::net::Ipv4Addr;

use ipnet::IpNet;

/// Addresses from `first` to `last`, both included.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Interval {
    first: u32,
    last: u32,
}

/// The clients that may open flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceRanges {
    Everybody,
    Only(Intervals),
}

/// Intervals in ascending order that neither overlap nor touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intervals(Box<[Interval]>);

impl SourceRanges {
    /// No range at all lets everybody in. IPv6 ranges say nothing of an IPv4 client, so a list of only
    /// such lets none of these in.
    pub fn new(ranges: &[IpNet]) -> Self {
        if ranges.is_empty() {
            return Self::Everybody;
        }
        let v4 = ranges.iter().filter_map(|range| match range {
            IpNet::V4(range) => Some(Interval {
                first: range.network().to_bits(),
                last: range.broadcast().to_bits(),
            }),
            IpNet::V6(_) => None,
        });
        let mut intervals: Vec<Interval> = v4.collect();
        intervals.sort_unstable();
        intervals.dedup_by(|next, before| {
            let joins = next.first <= before.last.saturating_add(1);
            if joins {
                before.last = before.last.max(next.last);
            }
            joins
        });
        Self::Only(Intervals(intervals.into()))
    }

    /// One comparison without ranges, a binary search with them.
    #[inline]
    pub fn allow(&self, client: Ipv4Addr) -> bool {
        match self {
            Self::Everybody => true,
            Self::Only(Intervals(intervals)) => {
                let client = client.to_bits();
                let above = intervals.partition_point(|interval| interval.first <= client);
                let below = above.checked_sub(1).and_then(|at| intervals.get(at));
                below.is_some_and(|interval| client <= interval.last)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ipnet::Ipv4Net;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn ranges(texts: &[&str]) -> SourceRanges {
        SourceRanges::new(&texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>())
    }

    fn allows(ranges: &SourceRanges, client: &str) -> bool {
        ranges.allow(client.parse().unwrap())
    }

    #[test]
    fn no_range_lets_everybody_in() {
        assert!(allows(&ranges(&[]), "198.51.100.7"));
    }

    #[test]
    fn a_range_ends_where_its_prefix_ends_and_host_bits_are_ignored() {
        let ranges = ranges(&["198.51.100.77/24", "203.0.113.9/32"]);
        for inside in ["198.51.100.0", "198.51.100.255", "203.0.113.9"] {
            assert!(allows(&ranges, inside), "{inside}");
        }
        let outside =
            ["198.51.99.255", "198.51.101.0", "203.0.113.8", "203.0.113.10", "255.255.255.255"];
        for outside in outside {
            assert!(!allows(&ranges, outside), "{outside}");
        }
    }

    #[test]
    fn a_list_of_only_ipv6_lets_no_ipv4_client_in() {
        assert!(!allows(&ranges(&["2001:db8::/32", "::/0"]), "198.51.100.7"));
        assert!(allows(&ranges(&["::/0", "0.0.0.0/0"]), "198.51.100.7"));
    }

    #[test]
    fn neighbouring_and_nested_ranges_become_one() {
        let ranges = ranges(&["10.1.0.0/16", "10.0.0.0/16", "10.0.7.0/24", "255.255.255.255/32"]);
        let SourceRanges::Only(Intervals(intervals)) = &ranges else { panic!("everybody") };
        assert_eq!(intervals.len(), 2);
        assert!(allows(&ranges, "10.1.255.255") && !allows(&ranges, "10.2.0.0"));
        assert!(allows(&ranges, "255.255.255.255"));
    }

    proptest! {
        #[test]
        fn an_address_is_allowed_exactly_when_a_range_contains_it(
            nets in vec((any::<u32>(), 0u8..=32), 1..60), near in vec((0usize..60, -2i64..3), 40)
        ) {
            let net = |(bits, len): &(u32, u8)| Ipv4Net::new(Ipv4Addr::from_bits(*bits), *len);
            let nets: Vec<Ipv4Net> = nets.iter().map(|it| net(it).unwrap()).collect();
            let ranges = SourceRanges::new(&nets.iter().copied().map(IpNet::V4).collect::<Vec<_>>());
            for (which, offset) in near {
                // At the edges, where a mistake would show.
                let net = nets[which % nets.len()];
                for edge in [net.network(), net.broadcast()] {
                    let Ok(bits) = u32::try_from(i64::from(edge.to_bits()) + offset) else { continue };
                    let client = Ipv4Addr::from_bits(bits);
                    let contained = nets.iter().any(|net| net.contains(&client));
                    prop_assert_eq!(ranges.allow(client), contained, "{}", client);
                }
            }
        }
    }
}
