//! Tables come back as they were, and no bytes make reading panic, allocate much or take long.

use super::*;
use crate::{Block, Call, DType, Region, Space, TensorRegion, library};
use std::time::Instant;

fn tables(steps: usize) -> Tables {
    let port = |name: &str| Port { name: name.into(), dtype: DType::F32, shape: vec![1, 3, 224, 224] };
    let region = |space, offset| Region { space, offset };
    let step = |i: usize| Step {
        kernel: format!("conv_{i}"),
        node: format!("/layer{i}/conv/Conv"),
        flops: 1 << 40,
        calls: vec![
            Call::Kernel {
                function: 0,
                operands: vec![region(Space::Input(0), 0), region(Space::Arena, 4096), region(Space::Scratch, 0)],
                args: (0..24).map(|k| k * 1000 - 7).collect(),
                extent: 56 * 56,
                barrier_before: i.is_multiple_of(2),
            },
            Call::Copy { from: region(Space::Arena, 0), to: region(Space::Output(0), 0), bytes: 64 },
            Call::Library {
                call: library::Routine::Call(library::Call::Transpose { perm: vec![1, 0] }),
                inputs: vec![TensorRegion { region: region(Space::Weights, 0), dtype: DType::F32, shape: vec![4, 4] }],
                outputs: vec![TensorRegion { region: region(Space::Arena, 64), dtype: DType::F32, shape: vec![4, 4] }],
            },
        ],
    };
    Tables {
        inputs: vec![port("data")],
        outputs: vec![port("out")],
        level: Level::X86_64V3,
        steps: (0..steps).map(step).collect(),
        memory: Memory { arena_bytes: 1 << 20, scratch_bytes: 4096, lower_bound_bytes: 1 << 19 },
        functions: 1,
        weights_bytes: 64,
        code_bytes: 1000,
    }
}

extern "C" fn nothing(_: *const *mut u8, _: *const i64, _: i64, _: i64) -> i32 {
    0
}

fn functions(count: usize) -> Functions {
    Functions {
        entries: vec![nothing as crate::KernelFn; count],
        run_library: Some(library::Routine::run),
        owner: Arc::new(()),
    }
}

#[test]
fn come_back_as_they_were() {
    let tables = tables(5);
    let bytes = tables.to_bytes().unwrap();
    let back = Tables::from_bytes(&bytes).unwrap();
    assert_eq!(format!("{tables:?}"), format!("{back:?}"));
    assert_eq!(back.to_bytes().unwrap(), bytes);
    let program = back.into_program(functions(1), Arc::new(Block::zeroed(64).unwrap())).unwrap();
    assert_eq!(Tables::of(&program).to_bytes().unwrap(), bytes);
}

#[test]
fn two_hundred_steps_read_in_a_millisecond() {
    let bytes = tables(200).to_bytes().unwrap();
    let time = |_| {
        let begin = Instant::now();
        assert_eq!(Tables::from_bytes(&bytes).unwrap().steps.len(), 200);
        begin.elapsed()
    };
    let best = (0..20).map(time).min().unwrap();
    // The dev profile is a few times slower than a release build.
    assert!(best.as_micros() < 4000, "{best:?}");
}

#[test]
fn wrong_parts_are_refused() {
    let weights = |len| Arc::new(Block::zeroed(len).unwrap());
    let error = |functions, weights| tables(1).into_program(functions, weights).err().unwrap().to_string();
    assert_eq!(error(functions(2), weights(64)), "the tables are for 1 functions, 2 were given");
    assert_eq!(error(functions(1), weights(65)), "the tables are for 64 bytes of weights, 65 were given");
    let mut wrong = tables(1);
    wrong.memory.scratch_bytes = 0;
    wrong.memory.arena_bytes = 10;
    assert!(wrong.into_program(functions(1), weights(64)).err().unwrap().to_string().contains("outside Arena"));
}

#[test]
fn damaged_bytes_are_errors() {
    let bytes = tables(3).to_bytes().unwrap();
    let mut cases = 0;
    for len in 0..bytes.len() {
        assert!(Tables::from_bytes(&bytes[..len]).is_err(), "{len}");
        cases += 1;
    }
    assert!(Tables::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    let mut refused = 0;
    for position in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1 << bit;
            // A changed number may still be a number: then the tables read, and their check decides.
            match Tables::from_bytes(&damaged) {
                Ok(tables) => drop(tables.into_program(functions(1), Arc::new(Block::zeroed(64).unwrap()))),
                Err(_) => refused += 1,
            }
            cases += 1;
        }
    }
    assert!(refused > 3 * HEADER, "{refused}");
    assert_eq!(cases, bytes.len() * 4);
    let mut huge = bytes[..HEADER].to_vec();
    huge.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    huge[12..20].copy_from_slice(&9u64.to_le_bytes());
    assert!(matches!(Tables::from_bytes(&huge), Err(StoreError::Tables(_))));
    let mut newer = bytes;
    newer[8] = 2;
    assert_eq!(Tables::from_bytes(&newer).unwrap_err(), StoreError::Version { found: 2 });
}
