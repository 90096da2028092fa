//! Which address each Service of type LoadBalancer gets.
//!
//! [`AddressBook::assign`] is given every Service that wants an address, each time, and says who has which.
//! It is level-triggered and deterministic; the book remembers only who holds what. In this order, and in
//! each step the oldest Service (`creationTimestamp`, then uid) first:
//!
//! 1. **Keep.** What a Service holds it keeps, as long as a pool that it may use has the address and the
//!    Service asks for no other. One that changed its sharing terms comes after those that did not.
//! 2. **Import.** A Service that the book does not know, as after a restart, gets what its status says.
//! 3. **Requested addresses.** Exactly those or none.
//! 4. **The rest.** From the requested pool, else from the pools that assign by themselves, by priority: an
//!    address that is lent under the same sharing key, else the lowest free one.
//!
//! The lowest free address is predictable: an operator can say beforehand what the next Service gets, and the
//! routes and firewall rules of a half-used pool stay in its lower half. The price is that a freed address
//! goes to the next one who asks: addresses do not rest. Who needs one for good requests it.
//!
//! Pools are kept as runs of integers and never enumerated: a `/64` costs no more than a `/24`.

mod book;
mod error;
mod fill;
mod keep;
mod request;
mod round;
mod space;
#[cfg(test)]
mod tests;

pub use book::{AddressBook, PoolUsage};
pub use error::{AddressError, Conflict};
pub use request::{Assignment, Family, FamilyPolicy, Request};
