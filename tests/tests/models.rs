//! The models of the zoo, end to end: recorded outputs on every CPU level and number of threads, the optimised graph as text
//! and in the evaluator, and the memory plan.
//!
//! Models that need much time in an unoptimised build run where `BROLGA_LARGE_TESTS` is set.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use brolga::{Level, Model, Options, Outputs, Tensor};
use brolga_compiler::ir::eval::evaluate;
use brolga_compiler::ir::text::{GraphWeights, parse};
use brolga_compiler::ir::verify::verify;
use brolga_tests::zoo::{self, Case};

/// Models with fewer multiplications and additions than this also run on every level.
const SMALL: u64 = 1_000_000_000;
/// Models with fewer than this are also evaluated.
const EVALUATED: u64 = 100_000_000;
/// Models with more parameters than this are left to `scripts/zoo_check.py`.
const LARGE: u64 = 60_000_000;

macro_rules! models {
    ($($name:ident)*) => {
        $(#[test] fn $name() { check(&zoo::case(stringify!($name)).unwrap()); })*
        const MODELS: &[&str] = &[$(stringify!($name)),*];
    };
}

models! {
    dcgan_discriminator dcgan_generator efficientnet_b0 ghostnet_100 lenet5 mobilenet_v2 mobilenet_v3_large regnet_y_400mf
    resnet18 resnet50 shufflenet_v2_x1_0 simple_cnn squeezenet1_1 swin_t unet vgg16 vit_b_16 yolov2
}

#[test]
fn every_model_of_the_zoo_has_a_test() {
    let names: Vec<String> = zoo::cases().unwrap().into_iter().map(|case| case.name).collect();
    assert_eq!(names, MODELS);
}

fn all_tests() -> bool {
    std::env::var_os("BROLGA_LARGE_TESTS").is_some()
}

fn check(case: &Case) {
    if case.parameters > LARGE && !all_tests() {
        return;
    }
    let bytes = case.model().unwrap();
    let inputs: Vec<Tensor> =
        case.inputs().iter().map(|array| Tensor::from_slice(&array.shape, &array.data).unwrap()).collect();
    let model = Model::from_bytes(bytes.clone(), Options::default()).unwrap();
    check_outputs(case, &model.run_tensors(&inputs).unwrap(), "host");
    check_memory(case, &model, &inputs);
    let flops = brolga_frontend::flops(&bound(&model, &inputs)).unwrap();
    check_text(case, &model, &inputs, flops < if all_tests() { SMALL } else { EVALUATED });
    if flops < SMALL {
        check_levels(case, &bytes, &inputs);
    }
}

fn bound(model: &Model, inputs: &[Tensor]) -> brolga_compiler::ir::Graph {
    let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
    model.imported().bind(&model.bindings(&shapes).unwrap()).unwrap()
}

fn check_outputs(case: &Case, outputs: &Outputs, what: &str) {
    assert_eq!(outputs.len(), case.outputs.len(), "{} {what}", case.name);
    for (expected, (name, tensor)) in case.outputs.iter().zip(outputs.tensors()) {
        assert_eq!(expected.name, name);
        let checked = expected.check(tensor.shape(), tensor.as_slice().unwrap());
        checked.unwrap_or_else(|mismatch| panic!("{} {what}: {mismatch}", case.name));
    }
}

/// Every level of the machine gives the recorded outputs, and one and two threads the same bits.
fn check_levels(case: &Case, bytes: &[u8], inputs: &[Tensor]) {
    let mut levels = 0;
    for level in Level::ALL.into_iter().filter(|level| level.available()) {
        let run = |threads| {
            let options = Options { level: Some(level), threads: Some(threads), ..Options::default() };
            Model::from_bytes(bytes, options).unwrap().run_tensors(inputs).unwrap()
        };
        let (one, two) = (run(1), run(2));
        check_outputs(case, &one, level.name());
        for ((name, a), (_, b)) in one.tensors().zip(two.tensors()) {
            assert!(a.bytes() == b.bytes(), "{} {level}: `{name}` depends on the number of threads", case.name);
        }
        levels += 1;
    }
    assert!(levels > 0);
}

/// The optimised graph prints, parses back to a graph that verifies and prints the same, and computes what was imported.
fn check_text(case: &Case, model: &Model, inputs: &[Tensor], evaluated: bool) {
    let text = model.ir_text();
    let parsed = parse(&text, &GraphWeights::of(model.graph())).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    verify(&parsed).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    assert!(parsed.to_text() == text, "{}: the text changes when it is parsed", case.name);
    if !evaluated {
        return;
    }
    let wanted = evaluate(model.imported(), inputs).unwrap();
    for (want, got) in wanted.iter().zip(evaluate(&parsed, inputs).unwrap()) {
        assert_eq!(want.shape(), got.shape());
        let (want, got) = (want.as_slice::<f32>().unwrap(), got.as_slice::<f32>().unwrap());
        let scale = want.iter().fold(1e-30f32, |most, v| most.max(v.abs()));
        let error = want.iter().zip(got).fold(0f32, |most, (a, b)| most.max((a - b).abs() / scale));
        assert!(error <= 1e-4, "{}: optimised and imported graph differ by {error:e}", case.name);
    }
}

/// The arena stays near what no plan can go below.
fn check_memory(case: &Case, model: &Model, inputs: &[Tensor]) {
    let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
    let compiled = model.compile(&model.bindings(&shapes).unwrap()).unwrap();
    let (steps, memory) = (compiled.steps.len(), compiled.memory);
    let share = memory.arena_bytes as f64 / memory.lower_bound_bytes as f64;
    println!("{}: {steps} steps, arena {} = {share:.3} of the lower bound", case.name, memory.arena_bytes);
    assert!(share <= 1.10, "{}: {memory:?}, {share:.3} of the lower bound", case.name);
    let (most_steps, most_bytes) = match &case.name[..] {
        "resnet50" => (58, 6_000_000),
        "mobilenet_v2" => (57, 7_000_000),
        "vgg16" => (24, u64::MAX),
        _ => return,
    };
    assert!(steps <= most_steps, "{}: {steps} steps, at most {most_steps} are expected", case.name);
    assert!(memory.arena_bytes <= most_bytes, "{}: {memory:?}", case.name);
}
