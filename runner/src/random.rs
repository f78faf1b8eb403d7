//! Seeded random inputs.

use brolga_runtime::{DType, Tensor, TensorError};

/// SplitMix64: every seed gives a sequence of its own, the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In 0..1, in steps of 2^-24.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }
}

/// A tensor for input number `index`: floats in 0..1, integers and booleans 0 or 1.
pub fn random_tensor(dtype: DType, shape: &[usize], seed: u64, index: usize) -> Result<Tensor, TensorError> {
    let mut random = Random(seed ^ (index as u64).wrapping_mul(0xd1b5_4a32_d192_ed03));
    let mut tensor = Tensor::zeros(dtype, shape)?;
    let size = dtype.bytes().max(1);
    for element in tensor.bytes_mut().chunks_exact_mut(size) {
        match dtype {
            DType::F32 => element.copy_from_slice(&random.unit().to_le_bytes()),
            DType::F64 => element.copy_from_slice(&f64::from(random.unit()).to_le_bytes()),
            DType::F16 => element.copy_from_slice(&half::f16::from_f32(random.unit()).to_le_bytes()),
            DType::BF16 => element.copy_from_slice(&half::bf16::from_f32(random.unit()).to_le_bytes()),
            _ => element[0] = (random.next() & 1) as u8,
        }
    }
    Ok(tensor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_numbers() {
        let make = |seed, index| random_tensor(DType::F32, &[3, 50], seed, index).unwrap();
        assert_eq!(make(1, 0).bytes(), make(1, 0).bytes());
        assert_ne!(make(1, 0).bytes(), make(2, 0).bytes());
        assert_ne!(make(1, 0).bytes(), make(1, 1).bytes());
        let tensor = make(5, 0);
        let numbers = tensor.as_slice::<f32>().unwrap();
        assert!(numbers.iter().all(|x| (0.0..1.0).contains(x)));
        let mean = numbers.iter().sum::<f32>() / 150.0;
        assert!((0.35..0.65).contains(&mean), "{mean}");
    }

    #[test]
    fn integers_are_small() {
        let tensor = random_tensor(DType::I64, &[100], 3, 0).unwrap();
        let numbers = tensor.as_slice::<i64>().unwrap();
        assert!(numbers.contains(&0) && numbers.contains(&1) && numbers.iter().all(|x| *x < 2));
    }
}
