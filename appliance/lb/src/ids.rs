//! Index newtypes: an index of one table can never be used in another.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($repr:ty)) => {
        $(#[$doc])*
        #[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name($repr);

        impl $name {
            pub const fn new(index: $repr) -> Self {
                Self(index)
            }
            pub const fn get(self) -> $repr {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! index {
    ($($name:ident),+) => {
        $(impl $name {
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        })+
    };
}

index!(WorkerId, PortId);

id!(
    /// Index of a worker (one lcore). Dense: `0..worker_count`.
    WorkerId(u16)
);
id!(
    /// Index of a port of the box, in the order of the configuration. Dense.
    PortId(u16)
);
id!(
    /// Identity of a Service. Never reused for another Service while the box runs, nor for the same one when it
    /// comes back after a Generation without it.
    ServiceId(u32)
);
id!(
    /// Identity of a Backend (`address:port/protocol` of one Service). Never reused for another
    /// Backend while the box runs, so that a flow can name its backend across Generations.
    BackendId(u32)
);
id!(
    /// Number of a Snapshot: grows by one with each publication, starts at 1.
    Generation(u64)
);
