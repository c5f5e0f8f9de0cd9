//! Generated inputs for tests, the same in every run.

/// A small random number generator (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

/// Runs `test` with the dice of each case: `few` of them, or as many as `MESH_TEST_FUZZ` says.
///
/// # Panics
/// If the variable is no number.
pub fn cases(few: u64, mut test: impl FnMut(&mut Dice)) {
    let asked = std::env::var_os("MESH_TEST_FUZZ").map(|number| {
        let number = number.into_string().ok().and_then(|text| text.parse().ok());
        number.expect("MESH_TEST_FUZZ must be a number of inputs")
    });
    for seed in 0..asked.unwrap_or(few) {
        test(&mut Dice::new(seed));
    }
}

impl Dice {
    /// Dice whose numbers depend only on `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Seeds are neighbours, and the numbers of neighbours would be each other's, one further.
        let word = Self(seed).word();
        Self(word)
    }

    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Returns a random number in `0..sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        (self.word() % sides.max(1) as u64) as usize
    }

    /// Returns true with probability 1 in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.roll(times) == 0
    }

    /// Returns one of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }

    /// Puts these in another order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for index in (1..all.len()).rev() {
            all.swap(index, self.roll(index + 1));
        }
    }

    /// Returns a text of up to `longest` of these parts.
    pub fn text(&mut self, parts: &[&str], longest: usize) -> String {
        let parts = (0..self.roll(longest + 1)).map(|_| *self.pick(parts));
        parts.collect()
    }

    /// Damages bytes in one to four places: other bytes, fewer, more, or parts that come again.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.roll(4) {
            let at = self.roll(bytes.len() + 1);
            let end = at + self.roll(bytes.len() - at + 1).min(64);
            match self.roll(6) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let again = bytes[at..end].to_vec();
                    bytes.splice(at..at, again);
                }
                3 => {
                    let any: Vec<u8> = (0..self.roll(12)).map(|_| self.byte()).collect();
                    bytes.splice(at..at, any);
                }
                4 if at < bytes.len() => bytes[at] ^= 1 << self.roll(8),
                _ if at < bytes.len() => bytes[at] = self.byte(),
                _ => {}
            }
        }
    }

    // Bytes at the ends of their range are the ones that lengths and numbers go wrong with.
    fn byte(&mut self) -> u8 {
        match self.roll(4) {
            0 => 0xff,
            1 => 0,
            _ => self.word().to_le_bytes()[0],
        }
    }
}
