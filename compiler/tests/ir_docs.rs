//! The examples of `docs/ir.md` are graphs: they parse, verify and print as they stand.

use brolga_compiler::ir::text::{NoWeights, parse};
use brolga_compiler::ir::verify::verify;

#[test]
fn examples_parse_and_print_as_they_stand() {
    let page = include_str!("../../docs/ir.md");
    let mut count = 0;
    for example in page.split("```brolga-ir\n").skip(1) {
        let text = example.split("```").next().unwrap_or_default();
        let graph = parse(text, &NoWeights).unwrap_or_else(|e| panic!("{e} in\n{text}"));
        verify(&graph).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(graph.to_text(), text);
        count += 1;
    }
    assert_eq!(count, 6);
}
