//! An independent check of a plan: replays the steps over a map of the arena and refuses a read of bytes that another value
//! has overwritten since they were made. Shares nothing with the planner but its result.

use super::place::{Home, Placement};
use crate::ir::{Graph, Origin, ValueId};
use crate::kernel::View;
use std::collections::{BTreeMap, HashSet};

/// A plan under which a step reads bytes that are not its operand's.
#[derive(Debug, thiserror::Error)]
#[error("step {step} reads {value} at bytes {from}..{to} of the arena, where {owner} lies")]
pub struct PlanFault {
    /// Position in the order.
    pub step: usize,
    /// Operand.
    pub value: ValueId,
    /// First byte.
    pub from: usize,
    /// One past the last byte.
    pub to: usize,
    /// Who wrote last.
    pub owner: String,
}

/// Runs of bytes of a view relative to its first interior element: `(offset, length)`, as long as they are contiguous.
fn runs(view: &View, element: usize) -> Vec<(i64, usize)> {
    let (dims, strides, mut run): (Vec<usize>, Vec<i64>, usize) = match view {
        View::Plain { dims, strides } => (dims.clone(), strides.clone(), element),
        View::Blocked { dims: [n, c, h, w], lanes, strides: [image, block, row, col], .. } => {
            (vec![*n, c.div_ceil(*lanes), *h, *w], vec![*image, *block, *row, *col], lanes * element)
        }
    };
    let mut found = vec![0i64];
    for (count, stride) in dims.into_iter().zip(strides).rev() {
        if found.len() == 1 && stride == run as i64 {
            run *= count;
        } else if count != 1 {
            found = (0..count as i64).flat_map(|i| found.iter().map(move |o| o + i * stride)).collect();
        }
    }
    found.into_iter().map(|offset| (offset, run)).collect()
}

/// Checks a plan. `offset_of` gives the arena offset of a buffer.
pub fn check(graph: &Graph, plan: &Placement, offset_of: impl Fn(usize) -> usize) -> Result<(), PlanFault> {
    let mut owners: BTreeMap<usize, (usize, ValueId)> = BTreeMap::new();
    let bytes_of = |value: ValueId| -> Option<Vec<(usize, usize)>> {
        let place = plan.places.get(&value)?;
        if plan.buffers[place.buffer].home != Home::Arena {
            return None;
        }
        let base = offset_of(place.buffer) as i64 + place.offset;
        let rows = runs(&place.view, graph.ty(value).dtype.bytes());
        Some(
            rows.into_iter().filter(|r| r.1 > 0).map(|(o, n)| ((base + o) as usize, (base + o) as usize + n)).collect(),
        )
    };
    // A value that is a view of others carries their bytes: it is the same memory under another name.
    let mut same: std::collections::HashMap<ValueId, Vec<ValueId>> = Default::default();
    for (step, id) in plan.order.iter().enumerate() {
        let node = graph.node(*id);
        let read = |value: ValueId,
                    owners: &BTreeMap<usize, (usize, ValueId)>,
                    same: &std::collections::HashMap<ValueId, Vec<ValueId>>| {
            let mut allowed = HashSet::from([value]);
            let mut waiting = vec![value];
            while let Some(next) = waiting.pop() {
                waiting.extend(same.get(&next).into_iter().flatten().copied().filter(|v| allowed.insert(*v)));
            }
            for (from, to) in bytes_of(value).unwrap_or_default() {
                let before = owners.range(..=from).next_back();
                let inside = owners.range(from + 1..to);
                for (start, (end, owner)) in before.into_iter().chain(inside) {
                    if *end > from && *start < to && !allowed.contains(owner) {
                        return Err(PlanFault { step, value, from, to, owner: owner.to_string() });
                    }
                }
            }
            Ok(())
        };
        for input in &node.inputs {
            if matches!(graph.value(*input).origin, Origin::Node(..)) {
                read(*input, &owners, &same)?;
            }
        }
        for output in &node.outputs {
            if plan.elided.contains(id) {
                same.insert(*output, node.inputs.clone());
                continue;
            }
            for (from, to) in bytes_of(*output).unwrap_or_default() {
                claim(&mut owners, from, to, *output);
            }
        }
    }
    Ok(())
}

/// Makes `owner` the owner of `from..to`, cutting what was there.
fn claim(owners: &mut BTreeMap<usize, (usize, ValueId)>, from: usize, to: usize, owner: ValueId) {
    let mut cut: Vec<(usize, usize, ValueId)> = Vec::new();
    let before = owners.range(..from).next_back().map(|(s, (e, v))| (*s, *e, *v));
    cut.extend(before.filter(|(_, end, _)| *end > from));
    cut.extend(owners.range(from..to).map(|(s, (e, v))| (*s, *e, *v)));
    for (start, end, value) in cut {
        owners.remove(&start);
        if start < from {
            owners.insert(start, (from, value));
        }
        if end > to {
            owners.insert(to, (end, value));
        }
    }
    owners.insert(from, (to, owner));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a view, one by one.
    fn bytes(view: &View) -> Vec<i64> {
        let mut all: Vec<i64> = runs(view, 4).into_iter().flat_map(|(from, n)| from..from + n as i64).collect();
        all.sort();
        all
    }

    #[test]
    fn rows_without_a_gap_are_one_run() {
        let plain = |dims: &[usize], strides: &[i64]| View::Plain { dims: dims.to_vec(), strides: strides.to_vec() };
        let dense = plain(&[2, 3, 5], &[60, 20, 4]);
        assert_eq!(runs(&dense, 4), [(0, 120)]);
        let slices = plain(&[2, 3, 5], &[100, 20, 4]);
        assert_eq!(runs(&slices, 4), [(0, 60), (100, 60)]);
        let rows = plain(&[2, 1, 5], &[24, 7, 4]);
        assert_eq!(runs(&rows, 4), [(0, 20), (24, 20)]);
        let turned = plain(&[2, 3, 5], &[20, 40, 4]);
        assert_eq!(runs(&turned, 4).len(), 6);
        assert_eq!(bytes(&turned), bytes(&dense));
    }
}
