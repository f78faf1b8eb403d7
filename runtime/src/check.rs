//! Whether the tables of a program make sense: every region inside its memory, every index inside its table.

use crate::{Call, Port, Program, Region, Space, TensorRegion, element_count};

/// Why a program cannot be run. It names the step, and is a fault of whoever made the program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// The size of an input or output overflows.
    #[error("`{name}` is too large")]
    Port {
        /// Name of the input or output.
        name: String,
    },
    /// The weights do not begin on a 64-byte boundary.
    #[error("the weights of the program are not aligned")]
    Alignment,
    /// A step is wrong.
    #[error("step {step} (`{kernel}`, node `{node}`): {detail}")]
    Step {
        /// Its number.
        step: usize,
        /// Its kernel.
        kernel: String,
        /// Nodes of the model.
        node: String,
        /// What is wrong.
        detail: String,
    },
}

/// Bytes of a tensor with this type and shape.
fn port_bytes(port: &Port) -> Option<u64> {
    let count = element_count(&port.shape)?;
    u64::try_from(count.checked_mul(port.dtype.bytes())?).ok()
}

/// Sizes of the memories that regions lie in.
struct Spaces {
    arena: u64,
    scratch: u64,
    weights: u64,
    inputs: Vec<u64>,
    outputs: Vec<u64>,
}

impl Spaces {
    fn size(&self, space: Space) -> Option<u64> {
        match space {
            Space::Arena => Some(self.arena),
            Space::Weights => Some(self.weights),
            Space::Scratch => Some(self.scratch),
            Space::Input(i) => self.inputs.get(i as usize).copied(),
            Space::Output(i) => self.outputs.get(i as usize).copied(),
        }
    }

    fn contains(&self, region: Region, bytes: u64) -> Result<(), String> {
        let size = self.size(region.space).ok_or_else(|| format!("{:?} does not exist", region.space))?;
        match region.offset.checked_add(bytes) {
            Some(end) if end <= size => Ok(()),
            _ => Err(format!("{bytes} bytes at {} are outside {:?} of {size} bytes", region.offset, region.space)),
        }
    }

    fn written(&self, region: Region, bytes: u64) -> Result<(), String> {
        if matches!(region.space, Space::Weights | Space::Input(_)) {
            return Err(format!("{:?} is written", region.space));
        }
        self.contains(region, bytes)
    }

    fn tensor(&self, tensor: &TensorRegion, written: bool) -> Result<Part, String> {
        let bytes = element_count(&tensor.shape)
            .and_then(|n| n.checked_mul(tensor.dtype.bytes()))
            .and_then(|n| u64::try_from(n).ok())
            .ok_or_else(|| format!("a tensor of shape {:?} is too large", tensor.shape))?;
        if tensor.dtype.bytes() == 0 {
            return Err(format!("a {} tensor cannot lie in memory", tensor.dtype));
        }
        if !tensor.region.offset.is_multiple_of(tensor.dtype.bytes() as u64) {
            return Err(format!("a {} tensor at {} is not aligned", tensor.dtype, tensor.region.offset));
        }
        if written {
            self.written(tensor.region, bytes)?
        } else {
            self.contains(tensor.region, bytes)?
        }
        Ok(Part { region: tensor.region, bytes })
    }
}

/// A region with its length.
#[derive(Clone, Copy)]
struct Part {
    region: Region,
    bytes: u64,
}

impl Part {
    fn overlaps(self, other: Part) -> bool {
        let (a, b) = (self.region, other.region);
        let apart = a.offset + self.bytes <= b.offset || b.offset + other.bytes <= a.offset;
        a.space == b.space && self.bytes > 0 && other.bytes > 0 && !apart
    }
}

impl Program {
    /// Checks every table; what code does with the regions it is given cannot be checked here.
    pub fn check(&self) -> Result<(), ProgramError> {
        let sizes = |ports: &[Port]| -> Result<Vec<u64>, ProgramError> {
            ports.iter().map(|p| port_bytes(p).ok_or_else(|| ProgramError::Port { name: p.name.clone() })).collect()
        };
        let weights = self.weights.bytes();
        if !weights.is_empty() && !weights.as_ptr().addr().is_multiple_of(64) {
            return Err(ProgramError::Alignment);
        }
        let spaces = Spaces {
            arena: self.memory.arena_bytes,
            scratch: self.memory.scratch_bytes,
            weights: weights.len() as u64,
            inputs: sizes(&self.inputs)?,
            outputs: sizes(&self.outputs)?,
        };
        for (index, step) in self.steps.iter().enumerate() {
            for call in &step.calls {
                self.check_call(&spaces, call).map_err(|detail| ProgramError::Step {
                    step: index,
                    kernel: step.kernel.clone(),
                    node: step.node.clone(),
                    detail,
                })?;
            }
        }
        Ok(())
    }

    fn check_call(&self, spaces: &Spaces, call: &Call) -> Result<(), String> {
        match call {
            Call::Kernel { function, operands, extent, .. } => {
                let known = self.functions.entries.len();
                if *function as usize >= known {
                    return Err(format!("function {function} of {known}"));
                }
                if i64::try_from(*extent).is_err() {
                    return Err(format!("an extent of {extent}"));
                }
                operands.iter().try_for_each(|region| spaces.contains(*region, 0))
            }
            Call::Copy { from, to, bytes } => {
                spaces.contains(*from, *bytes)?;
                spaces.written(*to, *bytes)?;
                let (from, to) = (Part { region: *from, bytes: *bytes }, Part { region: *to, bytes: *bytes });
                if from.overlaps(to) { Err("a copy onto itself".into()) } else { Ok(()) }
            }
            Call::Library { inputs, outputs, .. } => {
                if self.functions.run_library.is_none() {
                    return Err("a library call where there is no library".into());
                }
                let read = inputs.iter().map(|t| spaces.tensor(t, false)).collect::<Result<Vec<_>, _>>()?;
                let written = outputs.iter().map(|t| spaces.tensor(t, true)).collect::<Result<Vec<_>, _>>()?;
                for (i, result) in written.iter().enumerate() {
                    // An operand may end where its result begins: `Walk` reads it before anything is written.
                    let apart = |other: &Part| {
                        other.region == result.region && other.bytes == result.bytes || !other.overlaps(*result)
                    };
                    if !read.iter().all(apart) || written[..i].iter().any(|other| other.overlaps(*result)) {
                        return Err(format!("result {i} of a library call overlaps another operand"));
                    }
                }
                Ok(())
            }
        }
    }
}
