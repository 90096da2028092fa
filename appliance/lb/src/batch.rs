//! The frames of one burst, as the core sees them: bytes that can be rewritten in place.

use arrayvec::ArrayVec;

use crate::ids::PortId;
use crate::verdict::Verdict;

/// Most frames of a burst.
pub const BURST_MAX: usize = 64;

/// One verdict per frame, in the frames' order.
pub type Verdicts = ArrayVec<Verdict, BURST_MAX>;

/// A burst of frames. The appliance implements it over mbufs, tests over vectors.
///
/// Indices run from 0 to `len() - 1`; beyond that `frame` is empty and the rest does nothing.
pub trait Batch {
    /// At most [`BURST_MAX`].
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The port that the frame came in by.
    fn port(&self, at: usize) -> PortId;

    /// The whole frame, from its destination MAC on. Empty when it does not lie in one piece.
    fn frame(&self, at: usize) -> &[u8];

    fn frame_mut(&mut self, at: usize) -> &mut [u8];

    /// Replaces the frame's bytes. `false`, and nothing changed, when the buffer is too small.
    fn replace(&mut self, at: usize, bytes: &[u8]) -> bool;
}

/// A burst in ordinary memory, for tests, simulation and tools.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    pub frames: Vec<(PortId, Vec<u8>)>,
}

impl Batch for Frames {
    fn len(&self) -> usize {
        self.frames.len().min(BURST_MAX)
    }

    fn port(&self, at: usize) -> PortId {
        self.frames.get(at).map_or_else(PortId::default, |(port, _)| *port)
    }

    fn frame(&self, at: usize) -> &[u8] {
        self.frames.get(at).map_or(&[], |(_, frame)| frame)
    }

    fn frame_mut(&mut self, at: usize) -> &mut [u8] {
        self.frames.get_mut(at).map_or(&mut [], |(_, frame)| frame)
    }

    fn replace(&mut self, at: usize, bytes: &[u8]) -> bool {
        let Some((_, frame)) = self.frames.get_mut(at) else { return false };
        frame.clear();
        frame.extend_from_slice(bytes);
        true
    }
}
