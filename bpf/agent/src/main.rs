//! The command line of `spillway-node`.

fn main() {}
