//! The forwarder as the outside meets it: frames in, frames out, counters that add up.
//!
//! Every test plays in a [`world::World`]: one box with one or more workers, clients in front of it,
//! backends behind it, and a clock that only the test moves.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod affinity;
#[cfg(test)]
mod bursts;
#[cfg(test)]
mod classic;
#[cfg(test)]
mod exhaustion;
#[cfg(test)]
mod garbage;
#[cfg(test)]
mod generations;
#[cfg(test)]
mod nat;
#[cfg(test)]
mod refusal;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod source_ranges;
#[cfg(test)]
mod steering;
#[cfg(test)]
mod tcp_life;
#[cfg(test)]
mod traffic;
#[cfg(test)]
mod udp_life;
#[cfg(test)]
mod world;
