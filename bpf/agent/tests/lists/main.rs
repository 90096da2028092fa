//! What the lists, the metrics and the collector make of rows, without a kernel.

#[cfg(test)]
mod collector;
#[cfg(test)]
mod numbers;
#[cfg(test)]
mod texts;
