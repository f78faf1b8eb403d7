//! The schedule as text: steps in order, their calls, where every operand lies.

use brolga_compiler::compile::Compiled;
use brolga_runtime::{Call, Region, Space, Step, TensorRegion};
use std::io::{Result, Write};

/// Prints the plan and every step.
pub fn print(compiled: &Compiled, out: &mut dyn Write) -> Result<()> {
    let memory = &compiled.memory;
    writeln!(out, "; for level {}", compiled.level)?;
    writeln!(
        out,
        "arena {} bytes (lower bound {}), scratch {} bytes a worker, code {} bytes in {} kernels",
        memory.arena_bytes,
        memory.lower_bound_bytes,
        memory.scratch_bytes,
        compiled.code_bytes(),
        compiled.kernels.len()
    )?;
    for (number, port) in compiled.inputs.iter().enumerate() {
        writeln!(out, "input{number} \"{}\": {}{:?}", port.name, port.dtype, port.shape)?;
    }
    for (number, port) in compiled.outputs.iter().enumerate() {
        writeln!(out, "output{number} \"{}\": {}{:?}", port.name, port.dtype, port.shape)?;
    }
    for (number, step) in compiled.steps.iter().enumerate() {
        print_step(number, step, out)?;
    }
    Ok(())
}

fn print_step(number: usize, step: &Step, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "\nstep {number}: {} ; \"{}\", {} flops", step.kernel, step.node, step.flops)?;
    for call in &step.calls {
        match call {
            Call::Kernel { function, operands, args, extent, barrier_before } => {
                let operands: Vec<String> = operands.iter().map(region).collect();
                let barrier = if *barrier_before { "barrier, " } else { "" };
                writeln!(out, "  {barrier}kernel {function} ({}) args {args:?} over {extent}", operands.join(", "))?;
            }
            Call::Copy { from, to, bytes } => {
                writeln!(out, "  copy {bytes} bytes {} -> {}", region(from), region(to))?;
            }
            Call::Library { call, inputs, outputs } => {
                writeln!(out, "  library {call} ({}) -> ({})", tensors(inputs), tensors(outputs))?;
            }
        }
    }
    Ok(())
}

fn region(region: &Region) -> String {
    let space = match region.space {
        Space::Arena => "arena".to_owned(),
        Space::Weights => "weights".to_owned(),
        Space::Input(number) => format!("input{number}"),
        Space::Output(number) => format!("output{number}"),
        Space::Scratch => "scratch".to_owned(),
    };
    format!("{space}+{}", region.offset)
}

fn tensors(tensors: &[TensorRegion]) -> String {
    let one = |tensor: &TensorRegion| format!("{}: {}{:?}", region(&tensor.region), tensor.dtype, tensor.shape);
    tensors.iter().map(one).collect::<Vec<_>>().join(", ")
}
