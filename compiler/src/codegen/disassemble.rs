//! Machine code as text, for dumps.

use std::fmt::Write;

use brolga_runtime::Level;
use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};

use super::Code;

/// The instructions of a kernel, one a line with its offset; the constants behind them as words. Code for aarch64 is listed as words.
pub fn disassemble(code: &Code, level: Level) -> String {
    let mut text = String::new();
    let end = if level.is_x86() { instructions(&code.bytes, &mut text) } else { 0 };
    for (at, word) in code.bytes[end..].chunks(4).enumerate() {
        let hex: String = word.iter().rev().map(|byte| format!("{byte:02x}")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:6x}  .word 0x{hex}", end + at * 4);
    }
    text
}

/// Writes instructions up to the first constant that one of them reads; gives its offset.
fn instructions(bytes: &[u8], text: &mut String) -> usize {
    let mut decoder = Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE);
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_branch_leading_zeros(false);
    let (mut instruction, mut end) = (Instruction::default(), bytes.len());
    // Zeros up to the constants are padding.
    while decoder.can_decode() && bytes.get(decoder.position()..end).is_some_and(|rest| rest.iter().any(|b| *b != 0)) {
        decoder.decode_out(&mut instruction);
        if instruction.is_ip_rel_memory_operand() {
            let target = instruction.ip_rel_memory_address() as usize;
            if target > instruction.ip() as usize {
                end = end.min(target);
            }
        }
        let _ = write!(text, "{:6x}  ", instruction.ip());
        formatter.format(&instruction, text);
        text.push('\n');
    }
    end
}
