//! The configuration as an operator meets it: files in a directory, variables, flags.

#[cfg(test)]
mod cluster;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod drivers;
#[cfg(test)]
mod folder;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod node;
#[cfg(test)]
mod shipped;
