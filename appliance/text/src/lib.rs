//! How the commands of the box and of the node print: aligned tables, JSON documents, text that a terminal shows
//! instead of obeying.
//!
//! Knows nothing of what is printed. Must never depend on any other crate of ours.

pub mod document;
pub mod table;
pub mod text;
