//! How busy a worker is: the share of its time that went into rounds with frames, second by second.

/// Books cycles on what they were spent on. Sleep counts as idle, polling in vain too.
#[derive(Debug)]
pub(crate) struct Busy {
    cycles_per_second: u64,
    /// Start of the second that is being counted.
    since: u64,
    /// Start of the last round, and whether it handled frames.
    round: u64,
    handled: bool,
    /// Cycles of this second's rounds with frames.
    spent: u64,
    /// Of the last whole second, in thousandths.
    permille: Option<u16>,
}

impl Busy {
    pub(crate) fn new(cycles_per_second: u64, now: u64) -> Self {
        Self { cycles_per_second, since: now, round: now, handled: false, spent: 0, permille: None }
    }

    /// A round has ended that began at `began` and handled so many frames. What lies between the
    /// beginnings of two rounds belongs to the first of them.
    #[inline]
    pub(crate) fn note(&mut self, began: u64, frames: usize) {
        if self.handled {
            self.spent += began - self.round;
        }
        self.round = began;
        self.handled = frames > 0;
        let counted = began - self.since;
        if counted >= self.cycles_per_second {
            let permille = self.spent.saturating_mul(1000) / counted;
            self.permille = u16::try_from(permille).ok();
            self.since = began;
            self.spent = 0;
        }
    }

    /// The share of the last whole second, in thousandths; `None` in the first.
    pub(crate) fn permille(&self) -> Option<u16> {
        self.permille
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_in_which_one_round_of_four_had_frames_is_a_quarter_busy() {
        let mut busy = Busy::new(1000, 0);
        for round in 0..=10_u64 {
            assert_eq!(busy.permille(), None);
            busy.note(round * 100, usize::from(round % 4 == 0));
        }
        // Rounds 0, 4 and 8 had frames: 300 of 1000 cycles.
        assert_eq!(busy.permille(), Some(300));
        for round in 11..=20_u64 {
            busy.note(round * 100, 0);
        }
        assert_eq!(busy.permille(), Some(0));
    }
}
