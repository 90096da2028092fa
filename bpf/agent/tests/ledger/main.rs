//! The ledger against a model of the maps and of the programs that read them.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod views;
#[cfg(test)]
mod world;
