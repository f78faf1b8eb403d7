//! General registers for scalars and pointers: the most used values first, the rest in stack slots.

use iced_x86::Register;

use super::flat::*;
use super::live::{Live, Range};

/// Where a scalar lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loc {
    /// Nowhere: it is never read.
    Unused,
    /// A register.
    Reg(Register),
    /// The n-th slot of the frame.
    Slot(u32),
}

/// Registers that values are given, those the callee need not save first. RAX and RDX stay free for each instruction's own
/// use.
const REGISTERS: [Register; 13] = [
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::RCX,
    Register::RSI,
    Register::RDI,
    Register::RBX,
    Register::RBP,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
];
/// Those of them that the callee saves.
const SAVED: [Register; 6] = [Register::RBX, Register::RBP, Register::R12, Register::R13, Register::R14, Register::R15];

/// A parameter stays in the register it arrives in or goes to one that none arrives in, so that moves on entry never collide.
fn allowed(s: S, register: Register) -> bool {
    let arrives = match s {
        BASES => Register::RDI,
        ARGS => Register::RSI,
        END => Register::RCX,
        BEGIN => Register::RDX,
        _ => return true,
    };
    register == arrives || !matches!(register, Register::RDI | Register::RSI | Register::RCX)
}

/// The outcome: a place for every scalar.
pub(super) struct Gprs {
    /// By scalar.
    pub locs: Vec<Loc>,
    /// Registers to save.
    pub saved: Vec<Register>,
    /// Number of stack slots.
    pub slots: u32,
}

/// Ranges that hold one register, sorted; they do not overlap.
#[derive(Default)]
struct Occupied(Vec<(u32, u32)>);

impl Occupied {
    fn take(&mut self, range: &Range) -> bool {
        let at = self.0.partition_point(|(start, _)| *start < range.start);
        let before = at.checked_sub(1).and_then(|i| self.0.get(i));
        if before.is_some_and(|(_, end)| *end >= range.start) {
            return false;
        }
        if self.0.get(at).is_some_and(|(start, _)| *start <= range.end) {
            return false;
        }
        self.0.insert(at, (range.start, range.end));
        true
    }
}

/// Assigns places.
pub(super) fn assign(live: &Live) -> Gprs {
    let mut order: Vec<(usize, &Range)> = live.scalars.iter().enumerate().filter(|(_, r)| r.start <= r.end).collect();
    order.sort_by_key(|(at, r)| (std::cmp::Reverse(r.weight), r.end - r.start, *at));
    let mut occupied: Vec<Occupied> = REGISTERS.iter().map(|_| Occupied::default()).collect();
    let mut gprs = Gprs { locs: vec![Loc::Unused; live.scalars.len()], saved: Vec::new(), slots: 0 };
    for (at, range) in order {
        let free = REGISTERS
            .iter()
            .zip(occupied.iter_mut())
            .find_map(|(register, held)| (allowed(S(at as u32), *register) && held.take(range)).then_some(*register));
        let loc = free.map_or_else(
            || {
                gprs.slots += 1;
                Loc::Slot(gprs.slots - 1)
            },
            Loc::Reg,
        );
        if let Some(slot) = gprs.locs.get_mut(at) {
            *slot = loc;
        }
    }
    gprs.saved = SAVED.into_iter().filter(|r| gprs.locs.contains(&Loc::Reg(*r))).collect();
    gprs
}
