//! Graphs with one fault each.

use super::verify;
use crate::ir::text::{NoWeights, parse};
use crate::ir::*;
use brolga_runtime::DType;

fn fault(lines: &str, outputs: &str, phase: &str) -> String {
    let text = format!("graph \"t\" (%0 \"x\": f32[1, 2, 4, 4]) -> ({outputs}) phase {phase} {{\n{lines}}}\n");
    let graph = parse(&text, &NoWeights).unwrap();
    verify(&graph).expect_err("a fault").to_string()
}

#[test]
fn complaints_stand_under_their_line() {
    let text = fault("  %1 = relu %0: f32[1, 2, 4, 5]\n  %2 = relu %1: f32[1, 2, 4, 5]\n", "%2 \"y\"", "imported");
    let wanted = "1 faults in the graph\n\
        graph \"t\" (%0 \"x\": f32[1, 2, 4, 4]) -> (%2 \"y\") phase imported {\n  \
        %1 = relu %0: f32[1, 2, 4, 5]\n  \
        ; ^ %1 is f32[1, 2, 4, 5], its operation gives f32[1, 2, 4, 4]\n  \
        %2 = relu %1: f32[1, 2, 4, 5]\n}\n";
    assert_eq!(text, wanted);
}

#[test]
fn faults() {
    let blocked = "  %1 = relu %0: f32[1, 2, 4, 4] nchw8c\n  %2 = relu %1: f32[1, 2, 4, 4]\n";
    let cases = [
        ("  %1 = add %0: f32[1, 2, 4, 4]\n", "%1 \"y\"", "imported", "1 inputs; accepted are 2"),
        ("  %1 = softmax %0 {axis = 9}: f32[1, 2, 4, 4]\n", "%1 \"y\"", "imported", "axis 9"),
        (blocked, "%2 \"y\"", "optimized", "blocked before layouts"),
        ("  %1 = relu %0: f32[1, 2, 4, 4] nchw8c\n", "%1 \"y\"", "laid-out", "\"y\" is not plain"),
        ("  %1 = reorder %0 {lanes = 0}: f32[1, 2, 4, 4]\n", "%1 \"y\"", "optimized", "a reorder before"),
        ("  %1 = cast %0 {to = i64}: i64[1, 2, 4, 4] nchw8c\n", "%0 \"y\"", "laid-out", "blocked are f32"),
        ("  %1 = cast %0 {to = i64}: i32[1, 2, 4, 4]\n", "%1 \"y\"", "imported", "gives i64"),
    ];
    for (lines, outputs, phase, wanted) in cases {
        let found = fault(lines, outputs, phase);
        assert!(found.contains(wanted), "{wanted}: {found}");
    }
    let legal = parse(
        &format!("graph \"t\" (%0 \"x\": f32[1, 2, 4, 4]) -> (%2 \"y\") phase laid-out {{\n{blocked}}}\n"),
        &NoWeights,
    );
    assert!(verify(&legal.unwrap()).is_ok());
}

#[test]
fn cycles_and_missing_values() {
    let mut graph = Graph::new("t");
    let x = graph.add_input("x", Type::known(DType::F32, &[2]));
    let a = graph.add_node(Op::Unary(UnaryOp::Relu), &[x], 1, "a").unwrap()[0];
    let b = graph.add_node(Op::Unary(UnaryOp::Relu), &[a], 1, "b").unwrap()[0];
    graph.add_output("y", b);
    assert!(verify(&graph).is_ok());
    let mut cyclic = graph.clone();
    let first = cyclic.producer(a).unwrap().id;
    cyclic.set_node(first, Op::Unary(UnaryOp::Relu), vec![b]);
    let error = verify(&cyclic).unwrap_err();
    assert_eq!(error.faults.len(), 2);
    assert!(error.to_string().contains("depends on its own result"), "{error}");
    let mut missing = graph.clone();
    missing.add_output("z", ValueId(77));
    let error = verify(&missing).unwrap_err().to_string();
    assert!(error.contains("; output \"z\" is %77, which does not exist"), "{error}");
    graph.set_node(first, Op::Unary(UnaryOp::Relu), vec![ValueId(77)]);
    assert!(verify(&graph).unwrap_err().to_string().contains("there is no value %77"));
}
