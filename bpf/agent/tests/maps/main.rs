//! The real maps: opened, filled, taken up again. Needs root, and mounts a bpffs of its own.

#[cfg(test)]
mod bpffs;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod store;
