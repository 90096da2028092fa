//! How the commands of the box and of the node print: aligned tables, JSON documents, text that a terminal shows
//! instead of obeying. Knows nothing of what is printed.

pub mod document;
pub mod table;
pub mod text;
