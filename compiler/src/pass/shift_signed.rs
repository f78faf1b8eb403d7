//! shift-signed: activations quantised to i8 become u8, their zero points 128 more, so that integer kernels, which multiply
//! unsigned by signed bytes, take them. The numbers they stand for are the same.

use super::quantisation::{byte, per_tensor};
use super::rewrite::{Miss, Rule, require};
use crate::ir::{Graph, Node, Op, Patch};
use brolga_runtime::DType;

/// The pass.
pub struct ShiftSigned;

impl Rule for ShiftSigned {
    fn name(&self) -> &'static str {
        "shift-signed"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        let Op::Quantize { to: DType::I8, axis, block: 0, precision, saturate } = node.op else {
            return Err(Miss::Elsewhere);
        };
        let value = node.outputs[0];
        let (_, zero) = per_tensor(graph, node).ok_or(Miss::Elsewhere)?;
        require(!graph.is_output(value))?;
        let readers = graph.readers(value);
        let mut shifted = Vec::new();
        for id in &readers {
            let reader = graph.node(*id);
            let Op::Dequantize { to, axis, block: 0 } = reader.op else {
                return Err(Miss::blocked("it is read as it is"));
            };
            let (_, zero) = per_tensor(graph, reader).ok_or(Miss::Elsewhere)?;
            require(reader.inputs[0] == value)?;
            shifted.push((reader, Op::Dequantize { to, axis, block: 0 }, zero));
        }
        let mut patch = Patch::new(graph, "i8 as u8");
        let point = |zero: f32| byte(DType::U8, (zero as i32 + 128) as u8);
        let new_zero = patch.weight("", point(zero));
        let op = Op::Quantize { to: DType::U8, axis, block: 0, precision, saturate };
        let new = patch.node(op, &[node.inputs[0], node.inputs[1], new_zero], node.name.clone());
        for (reader, op, zero) in shifted {
            let zero = patch.weight("", point(zero));
            let read = patch.node(op, &[new, reader.inputs[1], zero], reader.name.clone());
            patch.replace(reader.outputs[0], read);
        }
        Ok(patch)
    }
}
