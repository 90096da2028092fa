//! Who stands where: the shape of a lab and its addresses, those of `config/static.toml`.

use std::net::Ipv4Addr;

/// The client, on the front link.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(172, 26, 50, 180);
/// The box's address towards clients.
pub const FRONT: Ipv4Addr = Ipv4Addr::new(172, 26, 50, 101);
/// The box's address towards nodes, and their default route.
pub const BACK: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
/// The network of the nodes, which clients must not need to know.
pub const NODES: &str = "10.0.1.0/24";

/// Most nodes that a lab has addresses for.
pub const NODES_MAX: u8 = 16;

/// How many links the box has.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Arms {
    /// One port; clients and nodes share a segment, in two subnets.
    One,
    /// A port towards clients and a port towards nodes.
    Two,
}

/// 802.1Q tags, 1..=4094, that frames carry on the box's links.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Tags {
    pub front: u16,
    pub back: u16,
}

/// The shape of a lab.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// `1..=NODES_MAX`
    pub nodes: u8,
    pub arms: Arms,
    pub tags: Option<Tags>,
}

impl Topology {
    /// Client, box and `nodes` nodes, the box in the middle.
    pub const fn two_arm(nodes: u8) -> Self {
        Self { nodes, arms: Arms::Two, tags: None }
    }

    /// Everything on one segment.
    pub const fn one_arm(nodes: u8) -> Self {
        Self { nodes, arms: Arms::One, tags: None }
    }

    /// The same with tagged links.
    #[must_use]
    pub const fn tagged(self, tags: Tags) -> Self {
        Self { tags: Some(tags), ..self }
    }
}

/// One node, counted from 1 as people do.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(u8);

impl NodeId {
    /// The `number`-th node; `1..=NODES_MAX`.
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// Counted from 1.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// What its servers call themselves: `n1`.
    pub fn name(self) -> String {
        format!("n{}", self.0)
    }

    /// `10.0.1.71` for the first.
    pub const fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 1, self.0.saturating_add(70))
    }
}
