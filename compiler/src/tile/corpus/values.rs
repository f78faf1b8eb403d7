//! Inputs: special values crossed with each other, then seeded random ones.

/// A small generator: the same seed gives the same numbers everywhere.
pub struct Rng(u64);

impl Rng {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A float of ordinary size.
    pub fn float(&mut self) -> f32 {
        (self.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0) * 2f32.powi(self.below(16) as i32 - 6)
    }
}

fn special_floats() -> Vec<u32> {
    let positive = [
        0.0,
        1.0,
        0.5,
        1.5,
        2.5,
        3.0,
        0.3,
        1e-3,
        1e30,
        8_388_607.5,
        8_388_608.0,
        16_777_216.0,
        2_147_483_520.0,
        2_147_483_648.0,
        4e9,
        65_504.0,
        65_519.0,
        65_520.0,
        6e-8,
        6.1e-5,
        f32::MIN_POSITIVE,
        f32::from_bits(1),
        f32::from_bits(0x7f_ffff),
        f32::MAX,
        f32::INFINITY,
        f32::NAN,
    ];
    positive.iter().flat_map(|x| [x.to_bits(), x.to_bits() | 0x8000_0000]).collect()
}

fn special_ints() -> Vec<u32> {
    [0, 1, -1, 2, 31, 32, 127, 128, -128, -129, 255, 256, 32767, 32768, -32768, -32769, 65535, 65536]
        .into_iter()
        .chain([i32::MAX, i32::MIN, i32::MIN + 1, 0x0100_0001])
        .map(|x| x as u32)
        .collect()
}

fn pairs(special: &[u32], mut random: impl FnMut() -> (u32, u32)) -> (Vec<u32>, Vec<u32>) {
    let mut out: (Vec<u32>, Vec<u32>) = special.iter().flat_map(|a| special.iter().map(move |b| (*a, *b))).unzip();
    for _ in 0..500 {
        let (a, b) = random();
        out.0.push(a);
        out.1.push(b);
    }
    out
}

/// Special floats, each with each, then ordinary ones.
pub fn float_pairs(rng: &mut Rng) -> (Vec<u32>, Vec<u32>) {
    pairs(&special_floats(), || (rng.float().to_bits(), rng.float().to_bits()))
}

/// Special integers, each with each, then random ones.
pub fn int_pairs(rng: &mut Rng) -> (Vec<u32>, Vec<u32>) {
    pairs(&special_ints(), || (rng.next() as u32, rng.next() as u32))
}

/// Special floats, ordinary ones, and random bits that are no NaN.
pub fn floats(rng: &mut Rng, count: usize) -> Vec<u32> {
    let mut out = special_floats();
    while out.len() < count {
        let bits = rng.next() as u32;
        out.push(if out.len().is_multiple_of(2) || f32::from_bits(bits).is_nan() {
            rng.float().to_bits()
        } else {
            bits
        });
    }
    out
}

/// Special integers, then random ones.
pub fn ints(rng: &mut Rng, count: usize) -> Vec<u32> {
    let mut out = special_ints();
    while out.len() < count {
        out.push(rng.next() as u32);
    }
    out
}
