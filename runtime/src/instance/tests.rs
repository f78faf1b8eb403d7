//! Programs of hand-written kernels: right results, the same on any number of threads, and errors that say what was expected.
#![allow(unsafe_code)]

use super::*;
use crate::{Call, Functions, Level, Memory, Region, Space, Step, TensorRegion, library};
use std::slice::{from_raw_parts, from_raw_parts_mut};
use std::sync::atomic::Ordering;

const ITEMS: usize = 1000;

/// out[i] = a[i] * args[0] + b[i]
unsafe extern "C" fn axpy(bases: *const *mut u8, args: *const i64, begin: i64, end: i64) -> i32 {
    // SAFETY: the programs below give three operands of `ITEMS` f32 and one argument.
    unsafe {
        let operand = |i: usize| (*bases.add(i)).cast::<f32>();
        for i in begin as usize..end as usize {
            *operand(2).add(i) = *operand(0).add(i) * *args as f32 + *operand(1).add(i);
        }
    }
    0
}

/// out[i] = a[ITEMS - 1 - i]: reads what the other workers wrote.
unsafe extern "C" fn reverse(bases: *const *mut u8, _: *const i64, begin: i64, end: i64) -> i32 {
    // SAFETY: the programs below give two operands of `ITEMS` f32.
    unsafe {
        let from = from_raw_parts((*bases).cast::<f32>(), ITEMS);
        for i in begin as usize..end as usize {
            *(*bases.add(1)).cast::<f32>().add(i) = from[ITEMS - 1 - i];
        }
    }
    0
}

/// Fills its scratch with a number and sums it up into out[i].
unsafe extern "C" fn through_scratch(bases: *const *mut u8, _: *const i64, begin: i64, end: i64) -> i32 {
    // SAFETY: the programs below give `ITEMS` f32 to read, 64 f32 of scratch, and `ITEMS` f32 to write.
    unsafe {
        let (from, scratch) = ((*bases).cast::<f32>(), from_raw_parts_mut((*bases.add(1)).cast::<f32>(), 64));
        for i in begin as usize..end as usize {
            scratch.fill(*from.add(i));
            *(*bases.add(2)).cast::<f32>().add(i) = scratch.iter().sum();
        }
    }
    0
}

/// A check that does not hold for item 700.
unsafe extern "C" fn failing(_: *const *mut u8, _: *const i64, begin: i64, end: i64) -> i32 {
    if (begin..end).contains(&700) { 3 } else { 0 }
}

const ENTRIES: [crate::KernelFn; 4] = [axpy, reverse, through_scratch, failing];

fn at(space: Space, offset: u64) -> Region {
    Region { space, offset }
}

fn kernel(function: u32, operands: Vec<Region>, args: Vec<i64>, barrier_before: bool) -> Call {
    Call::Kernel { function, operands, args, extent: ITEMS as u64, barrier_before }
}

fn step(name: &str, calls: Vec<Call>) -> Step {
    Step { kernel: name.into(), node: format!("node_{name}"), flops: 1 << 20, calls }
}

/// The transpose of reverse(3 a + b), through the arena, a copy, a library call and scratch: every kind of call and of memory.
fn program() -> Program {
    let bytes = (ITEMS * 4) as u64;
    let port = |name: &str| Port { name: name.into(), dtype: DType::F32, shape: vec![10, 100] };
    let (a, b, out) = (at(Space::Input(0), 0), at(Space::Input(1), 0), at(Space::Output(0), 0));
    let arena = |n: u64| at(Space::Arena, n * 4096);
    let tensor = |region, shape: &[usize]| TensorRegion { region, dtype: DType::F32, shape: shape.to_vec() };
    let steps = vec![
        step("axpy", vec![kernel(0, vec![a, b, arena(0)], vec![3], false)]),
        step(
            "both",
            vec![
                kernel(1, vec![arena(0), arena(1)], vec![], false),
                kernel(1, vec![arena(1), arena(2)], vec![], true),
                kernel(1, vec![arena(2), arena(0)], vec![], true),
            ],
        ),
        step("copy", vec![Call::Copy { from: arena(0), to: arena(1), bytes }]),
        step(
            "transpose",
            vec![Call::Library {
                call: library::Routine::Call(library::Call::Transpose { perm: vec![1, 0] }),
                inputs: vec![tensor(arena(1), &[10, 100])],
                outputs: vec![tensor(arena(2), &[100, 10])],
            }],
        ),
        step("scratch", vec![kernel(2, vec![arena(2), at(Space::Scratch, 0), arena(0)], vec![], false)]),
        step("weights", vec![kernel(0, vec![arena(0), at(Space::Weights, 64), out], vec![1], false)]),
    ];
    let mut weights = Block::zeroed(64 + ITEMS * 4).unwrap();
    weights[64..].copy_from_slice(bytemuck::cast_slice(&vec![0.5f32; ITEMS]));
    Program {
        inputs: vec![port("a"), port("b")],
        outputs: vec![port("sum")],
        level: Level::host().unwrap(),
        steps,
        memory: Memory { arena_bytes: 3 * 4096, scratch_bytes: 256, lower_bound_bytes: 2 * bytes },
        functions: Functions {
            entries: ENTRIES.to_vec(),
            run_library: Some(library::Routine::run),
            owner: Arc::new(()),
        },
        weights: Arc::new(weights),
        code_bytes: 0,
    }
}

fn inputs(seed: usize) -> Vec<Tensor> {
    let make = |k: usize| {
        let elements: Vec<f32> = (0..ITEMS).map(|i| ((i * 7 + k * 13 + seed) % 101) as f32 / 8.0).collect();
        Tensor::from_slice(&[10, 100], &elements).unwrap()
    };
    vec![make(1), make(2)]
}

fn expected(inputs: &[Tensor]) -> Vec<f32> {
    let (a, b) = (inputs[0].as_slice::<f32>().unwrap(), inputs[1].as_slice::<f32>().unwrap());
    let mut sums: Vec<f32> = a.iter().zip(b).map(|(a, b)| (3.0 * a + b) * 64.0 + 0.5).collect();
    sums.reverse();
    (0..ITEMS).map(|i| sums[i % 10 * 100 + i / 10]).collect()
}

fn instance(program: Program, threads: usize) -> Instance {
    Instance::new(Arc::new(program), Arc::new(Pool::new(threads))).unwrap()
}

#[test]
fn the_same_on_every_repeat_and_any_number_of_threads() {
    let mut runs = 0;
    for threads in [1, 2, 4] {
        let instance = instance(program(), threads);
        assert_eq!(instance.workers(), threads);
        for seed in 0..1000 {
            let inputs = inputs(seed % 5);
            let outputs = instance.run_tensors(&inputs, RunOptions::default()).unwrap();
            assert_eq!(outputs[0].as_slice::<f32>().unwrap(), expected(&inputs), "{threads} threads, run {seed}");
            runs += 1;
        }
    }
    assert_eq!(runs, 3000);
}

#[test]
fn many_callers_at_once() {
    let instance = instance(program(), 2);
    std::thread::scope(|scope| {
        for caller in 0..4 {
            let instance = &instance;
            scope.spawn(move || {
                for seed in 0..100 {
                    let inputs = inputs(seed + caller * 1000);
                    let outputs = instance.run_tensors(&inputs, RunOptions::default()).unwrap();
                    assert_eq!(outputs[0].as_slice::<f32>().unwrap(), expected(&inputs));
                }
            });
        }
    });
    assert!(instance.arenas.lock().unwrap().len() <= KEPT_ARENAS);
}

#[test]
fn a_small_program_runs_alone() {
    let mut program = program();
    program.steps.iter_mut().for_each(|step| step.flops = 10);
    let instance = instance(program, 4);
    assert_eq!(instance.workers(), 1);
    let inputs = inputs(1);
    let outputs = instance.run_tensors(&inputs, RunOptions::default()).unwrap();
    assert_eq!(outputs[0].as_slice::<f32>().unwrap(), expected(&inputs));
}

#[test]
fn a_failed_check_names_the_step() {
    for threads in [1, 2, 4] {
        let mut program = program();
        program.steps.insert(2, step("gather", vec![kernel(3, vec![], vec![], false)]));
        let error = instance(program, threads).run_tensors(&inputs(0), RunOptions::default()).unwrap_err();
        let text = "step 2 (`gather`, node `node_gather`) failed: check 3 in the kernel did not hold";
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn wrong_inputs_say_what_was_expected() {
    let instance = instance(program(), 1);
    let run = |inputs: &[Tensor]| instance.run_tensors(inputs, RunOptions::default()).unwrap_err().to_string();
    let good = inputs(0);
    assert_eq!(run(&good[..1]), "the model has 2 inputs (a, b), 1 were given");
    let shape = good[1].clone().reshaped(&[100, 10]).unwrap();
    assert_eq!(run(&[good[0].clone(), shape]), "input `b` is f32[10, 100], f32[100, 10] was given");
    let dtype = Tensor::zeros(DType::F64, &[10, 100]).unwrap();
    assert_eq!(run(&[dtype, good[1].clone()]), "input `a` is f32[10, 100], f64[10, 100] was given");
    let bytes = [0u8; ITEMS * 4 + 1];
    let odd = usize::from(bytes.as_ptr().addr().is_multiple_of(4));
    let view = TensorView { dtype: DType::F32, shape: &[10, 100], bytes: &bytes[odd..odd + ITEMS * 4] };
    let mut outputs = instance.new_outputs().unwrap();
    let mut outputs: Vec<_> = outputs.iter_mut().map(Tensor::view_mut).collect();
    let error = instance.run(&[view, good[1].view()], &mut outputs, RunOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "input `a` needs 4000 bytes that begin at a multiple of the size of a f32");
}

#[test]
fn cancel_deadline_and_timings() {
    let instance = instance(program(), 2);
    let flag = AtomicBool::new(true);
    let cancelled = RunOptions { cancel: Some(&flag), ..RunOptions::default() };
    assert_eq!(instance.run_tensors(&inputs(0), cancelled).unwrap_err(), RunError::Cancelled);
    flag.store(false, Ordering::Relaxed);
    let late = RunOptions { deadline: Some(Instant::now()), ..RunOptions::default() };
    assert_eq!(instance.run_tensors(&inputs(0), late).unwrap_err(), RunError::Deadline);
    let mut timings = vec![Duration::ZERO; 40];
    let timed = RunOptions {
        timings: Some(&mut timings),
        cancel: Some(&flag),
        deadline: Some(Instant::now() + Duration::from_secs(60)),
    };
    instance.run_tensors(&inputs(0), timed).unwrap();
    assert_eq!(timings.len(), 6);
}

#[test]
fn wrong_tables_are_refused() {
    let refused = |change: fn(&mut Program)| {
        let mut program = program();
        change(&mut program);
        match Instance::new(Arc::new(program), Pool::shared(1)) {
            Err(RunError::Program(error)) => error.to_string(),
            Err(error) => error.to_string(),
            Ok(_) => "accepted".into(),
        }
    };
    assert_eq!(refused(|_| ()), "accepted");
    assert!(refused(|p| p.functions.entries.truncate(1)).contains("function 1 of 1"));
    assert!(refused(|p| p.memory.arena_bytes = 4097).contains("outside Arena"));
    assert!(refused(|p| p.inputs.truncate(1)).contains("Input(1) does not exist"));
    assert!(refused(|p| p.inputs[0].shape = vec![usize::MAX, 9]).contains("`a` is too large"));
    assert!(
        refused(|p| p.steps[2] = step("k", vec![kernel(0, vec![at(Space::Scratch, 300)], vec![], false)]))
            .contains("outside Scratch")
    );
    assert!(
        refused(|p| if let Call::Copy { to, .. } = &mut p.steps[2].calls[0] {
            *to = at(Space::Weights, 0)
        })
        .contains("Weights is written")
    );
    assert!(
        refused(|p| if let Call::Copy { to, .. } = &mut p.steps[2].calls[0] {
            *to = at(Space::Arena, 100)
        })
        .contains("a copy onto itself")
    );
    assert!(
        refused(|p| if let Call::Library { outputs, .. } = &mut p.steps[3].calls[0] {
            outputs[0].region.offset = 4096 - 64
        })
        .contains("overlaps another operand")
    );
    assert!(
        refused(|p| p.level = if p.level.is_x86() { Level::Aarch64 } else { Level::X86_64 })
            .contains("this machine does not")
    );
}
