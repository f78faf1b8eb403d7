//! Transposed convolutions in groups.

use super::support::*;
use crate::ir::*;
use crate::pass::split_groups::SplitGroups;

fn transposed(channels: usize, group: usize, bias: bool) -> Graph {
    let mut net = Net::new();
    let x = net.input("x", &[1, channels, 3, 4]);
    let mut operands = vec![x, net.weight("w", &[channels, 2, 2, 2])];
    if bias {
        operands.push(net.weight("b", &[2 * group]));
    }
    let (window, output_pad) = (window(2, 0), vec![0, 0]);
    let op = Op::ConvTranspose { window, output_pad, group, bias, epilogue: Expression::default() };
    let y = net.op(op, &operands);
    net.outputs(&[y])
}

#[test]
fn grouped_transposed_convolutions_become_one_of_each_group() {
    insta::assert_snapshot!(report(&transposed(6, 3, true), &[&SplitGroups]));
}

#[test]
fn one_group_stays_and_many_are_refused() {
    let log = |graph: &Graph| {
        let outcome = run(graph, &[&SplitGroups]);
        let refused: Vec<String> = outcome.log[0].refused.iter().map(|remark| remark.why.clone()).collect();
        (outcome.log[0].patches.len(), refused)
    };
    assert_eq!(log(&transposed(4, 1, false)), (0, vec![]));
    assert_eq!(log(&transposed(65, 65, false)), (0, vec!["it has 65 groups".to_owned()]));
    assert_eq!(log(&transposed(64, 64, false)), (1, vec![]));
}
