//! Constants as expressions: transposed, reshaped, cut, without touching their elements.

use crate::ir::{AxisScale, Source, Weight};
use std::sync::Arc;

/// The weight with result dimension i being dimension `perm[i]`, when that can be said without evaluating it.
pub(crate) fn transposed(weight: &Weight, perm: &[usize]) -> Option<Weight> {
    let mut out = weight.clone();
    if let Some(shape) = out.reshape.take() {
        // Without a permutation below it, a reshape only reads the source's elements with another shape.
        let movable = out.perm.is_empty() || matches!(out.source, Source::Splat(_));
        if !movable {
            return None;
        }
        out.source_shape = shape;
        out.perm.clear();
    }
    out.perm = match out.perm.is_empty() {
        true => perm.to_vec(),
        false => perm.iter().map(|p| out.perm[*p]).collect(),
    };
    if out.perm.iter().enumerate().all(|(i, p)| i == *p) {
        out.perm.clear();
    }
    for scale in &mut out.scales {
        let axis = perm.iter().position(|p| *p == scale.axis)?;
        *scale = Arc::new(AxisScale { axis, scale: scale.scale.clone() });
    }
    Some(out)
}

/// The weight with another shape of as many elements, when that can be said without evaluating it.
pub(crate) fn reshaped(weight: &Weight, shape: &[usize]) -> Option<Weight> {
    let mut out = weight.clone();
    let old = weight.shape();
    for scale in &mut out.scales {
        // The scaled dimension must survive: the same extent with as many elements inside.
        let inner: usize = old[scale.axis + 1..].iter().product();
        let axis = (0..shape.len())
            .find(|a| shape[*a] == old[scale.axis] && shape[a + 1..].iter().product::<usize>() == inner)?;
        *scale = Arc::new(AxisScale { axis, scale: scale.scale.clone() });
    }
    if out.perm.is_empty() {
        out.source_shape = shape.to_vec();
        out.reshape = None;
    } else {
        out.reshape = Some(shape.to_vec());
    }
    Some(out)
}

/// A splat with another shape.
pub(crate) fn splat_with_shape(weight: &Weight, shape: &[usize]) -> Option<Weight> {
    match weight.source {
        Source::Splat(element) if weight.scales.is_empty() => {
            Some(Weight::splat(weight.dtype, shape.to_vec(), element))
        }
        _ => None,
    }
}
