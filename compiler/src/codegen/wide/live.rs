//! Where values live: from their definition to their last use, to the end of a loop when they come from before it.

use super::flat::*;

/// Two positions per instruction: its reads at `2 * i`, its writes at `2 * i + 1`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    /// Position of the first write.
    pub start: u32,
    /// Position of the last read or write.
    pub end: u32,
    /// Reads and writes, ten times as many for each loop around them.
    pub weight: u64,
}

const UNUSED: Range = Range { start: u32::MAX, end: 0, weight: 0 };

/// The ranges of all values; a value that never occurs has `start > end`.
pub(super) struct Live {
    pub scalars: Vec<Range>,
    pub vectors: Vec<Range>,
    pub masks: Vec<Range>,
}

struct Scan {
    live: Live,
    /// First instruction and last position of every loop around the current instruction, outermost first.
    loops: Vec<(u32, u32)>,
    weight: u64,
}

impl Scan {
    fn touch(&mut self, value: Value, position: u32) {
        let range = match value {
            Value::Scalar(S(at)) => self.live.scalars.get_mut(at as usize),
            Value::Vector(V(at)) => self.live.vectors.get_mut(at as usize),
            Value::Mask(K(at)) => self.live.masks.get_mut(at as usize),
        };
        let Some(range) = range else { return };
        if range.start == u32::MAX {
            range.start = position;
        }
        let carried = self.loops.iter().find(|(start, _)| start * 2 + 1 > range.start);
        range.end = range.end.max(carried.map_or(position, |(_, end)| *end));
        range.weight += self.weight;
    }
}

/// Computes the ranges.
pub(super) fn live(flat: &Flat) -> Live {
    let ends = loop_ends(flat);
    let mut scan = Scan {
        live: Live {
            scalars: vec![UNUSED; flat.scalars as usize],
            vectors: vec![UNUSED; flat.vectors as usize],
            masks: vec![UNUSED; flat.masks as usize],
        },
        loops: Vec::new(),
        weight: 1,
    };
    for (at, inst) in flat.insts.iter().enumerate() {
        let at = at as u32;
        inst.uses(&mut |value| scan.touch(value, 2 * at));
        inst.defs(&mut |value| scan.touch(value, 2 * at + 1));
        match inst {
            Inst::Loop { .. } => {
                let end = ends.iter().find(|(start, _)| *start == at).map_or(at, |(_, end)| *end);
                scan.loops.push((at, 2 * end + 1));
                scan.weight = 10u64.pow(scan.loops.len().min(8) as u32);
            }
            Inst::EndLoop { .. } => {
                scan.loops.pop();
                scan.weight = 10u64.pow(scan.loops.len().min(8) as u32);
            }
            _ => {}
        }
    }
    // The parameters exist on entry only where something reads them.
    for s in [BASES, ARGS, BEGIN, END] {
        if let Some(range) = scan.live.scalars.get_mut(s.0 as usize)
            && range.weight <= 1
        {
            *range = UNUSED;
        }
    }
    scan.live
}

/// First and last instruction of every loop.
fn loop_ends(flat: &Flat) -> Vec<(u32, u32)> {
    let (mut open, mut ends) = (Vec::new(), Vec::new());
    for (at, inst) in flat.insts.iter().enumerate() {
        match inst {
            Inst::Loop { .. } => open.push(at as u32),
            Inst::EndLoop { .. } => ends.extend(open.pop().map(|start| (start, at as u32))),
            _ => {}
        }
    }
    ends
}
