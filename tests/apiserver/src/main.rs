//! The API server for tests as a program of its own.

fn main() {}
