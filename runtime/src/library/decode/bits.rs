//! The bits of JPEG's coded data, and its Huffman codes.

/// Codes of up to 16 bits.
pub(super) struct Huffman {
    /// Per length, one above its largest code, moved to the top of 16 bits.
    above: [u32; 17],
    /// Per length, what to add to a code for the place of its symbol.
    shift: [i32; 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// From the number of codes of each length and the symbols in order; `None` when there are too many codes.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Huffman> {
        let mut table = Huffman { above: [0; 17], shift: [0; 17], symbols: symbols.to_vec() };
        let (mut code, mut place) = (0u32, 0u32);
        for (i, count) in counts.iter().enumerate() {
            let length = i + 1;
            code <<= 1;
            table.shift[length] = place as i32 - code as i32;
            code += u32::from(*count);
            place += u32::from(*count);
            if code > 1 << length {
                return None;
            }
            table.above[length] = code << (16 - length);
        }
        Some(table)
    }
}

/// A reader of bits that knows stuffed bytes and markers.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Bits { data, at: 0, held: 0, count: 0 }
    }
    fn fill(&mut self) {
        while self.count <= 48 {
            let byte = match self.data.get(self.at..) {
                Some([0xff, 0x00, ..]) => {
                    self.at += 2;
                    0xff
                }
                // A marker, or the end.
                Some([0xff, ..] | []) | None => return,
                Some([byte, ..]) => {
                    self.at += 1;
                    *byte
                }
            };
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
        }
    }
    /// The next bits, at most 16, without taking them; what is beyond the end reads as ones.
    fn peek(&mut self, bits: u32) -> u32 {
        if self.count < bits {
            self.fill();
        }
        let missing = bits.saturating_sub(self.count);
        let held = self.held << missing | ((1 << missing) - 1);
        (held >> (self.count + missing - bits)) as u32 & ((1 << bits) - 1)
    }
    fn take(&mut self, bits: u32) -> Option<()> {
        self.count = self.count.checked_sub(bits)?;
        Some(())
    }
    /// The symbol of the next code.
    pub(super) fn symbol(&mut self, table: &Huffman) -> Option<u8> {
        let next = self.peek(16);
        let length = (1..=16).find(|length| next < table.above[*length])?;
        self.take(length as u32)?;
        let place = (next >> (16 - length)) as i32 + table.shift[length];
        table.symbols.get(usize::try_from(place).ok()?).copied()
    }
    /// A number of `size` bits; those that begin with 0 are negative.
    pub(super) fn signed(&mut self, size: u8) -> Option<i32> {
        if size == 0 {
            return Some(0);
        }
        let size = u32::from(size);
        if size > 15 {
            return None;
        }
        let value = self.peek(size) as i32;
        self.take(size)?;
        Some(if value >> (size - 1) == 0 { value - (1 << size) + 1 } else { value })
    }
    /// Drops what is left of a byte and passes a restart marker.
    pub(super) fn restart(&mut self) -> Option<()> {
        (self.held, self.count) = (0, 0);
        match self.data.get(self.at..)? {
            [0xff, 0xd0..=0xd7, ..] => {
                self.at += 2;
                Some(())
            }
            _ => None,
        }
    }
}
