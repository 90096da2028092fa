//! The real program against a daemon of the test's own: what it asks, prints and complains of.

#[cfg(test)]
mod daemon;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod filters;
#[cfg(test)]
mod guide;
#[cfg(test)]
mod json;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod tables;
