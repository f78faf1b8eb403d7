//! The constants behind the code: words to broadcast, whole vectors, and the table that AVX2 takes its lane masks from.

/// Position of a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolId(pub u32);

/// Constants, each kept once.
pub(super) struct Pool {
    lanes: usize,
    splat_words: bool,
    entries: Vec<Vec<u32>>,
}

impl Pool {
    /// An empty pool for vectors of `lanes`; with `splat_words`, a constant equal in every lane takes one word.
    pub(super) fn new(lanes: usize, splat_words: bool) -> Self {
        Pool { lanes, splat_words, entries: Vec::new() }
    }

    /// A constant given by one word or by one word a lane.
    pub(super) fn vector(&mut self, words: &[u32]) -> PoolId {
        match words {
            [first, rest @ ..] if rest.iter().all(|word| word == first) => self.entry(vec![*first]),
            _ => self.entry(words.to_vec()),
        }
    }

    /// The same word in every lane.
    pub(super) fn splat(&mut self, word: u32) -> PoolId {
        self.entry(vec![word])
    }

    /// L words of ones, then L words of zeros.
    pub(super) fn mask_table(&mut self) -> PoolId {
        let words = (0..2 * self.lanes).map(|lane| if lane < self.lanes { u32::MAX } else { 0 }).collect();
        self.entry(words)
    }

    fn entry(&mut self, words: Vec<u32>) -> PoolId {
        let at = self.entries.iter().position(|entry| *entry == words).unwrap_or_else(|| {
            self.entries.push(words);
            self.entries.len() - 1
        });
        PoolId(at as u32)
    }

    /// The word of a constant that is the same in every lane.
    pub(super) fn as_splat(&self, id: PoolId) -> Option<u32> {
        match self.entries.get(id.0 as usize).map(Vec::as_slice) {
            Some([word]) => Some(*word),
            _ => None,
        }
    }

    /// The word of one lane.
    pub(super) fn word(&self, id: PoolId, lane: usize) -> u32 {
        match self.entries.get(id.0 as usize).map(Vec::as_slice) {
            Some([word]) => *word,
            Some(words) => words.get(lane).copied().unwrap_or(0),
            None => 0,
        }
    }

    /// Whether the constant is stored as one word that instructions broadcast.
    pub(super) fn is_word(&self, id: PoolId) -> bool {
        self.splat_words && self.as_splat(id).is_some()
    }

    /// Appends the constants to the code; gives the offset of each. Whole vectors come first, so that none straddles two lines.
    pub(super) fn place(&self, bytes: &mut Vec<u8>) -> Vec<usize> {
        let mut offsets = vec![0; self.entries.len()];
        let vectors = (0..self.entries.len()).any(|at| !self.is_word(PoolId(at as u32)));
        bytes.resize(bytes.len().next_multiple_of(if vectors { self.lanes * 4 } else { 4 }), 0xcc);
        for words in [false, true] {
            for (at, entry) in self.entries.iter().enumerate() {
                if self.is_word(PoolId(at as u32)) != words {
                    continue;
                }
                if let Some(offset) = offsets.get_mut(at) {
                    *offset = bytes.len();
                }
                let copies = if entry.len() == 1 && !words { self.lanes } else { 1 };
                for _ in 0..copies {
                    entry.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
                }
            }
        }
        offsets
    }
}
