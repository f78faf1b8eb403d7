//! Walking several tensors of one extent at once.

/// Row-major strides in elements.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for i in (0..shape.len().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1].saturating_mul(shape[i + 1]);
    }
    strides
}

/// Strides of a tensor of shape `small` read as if broadcast to `shape`, or `None` when it does not broadcast to it.
pub(crate) fn broadcast_strides(small: &[usize], shape: &[usize]) -> Option<Vec<isize>> {
    let lead = shape.len().checked_sub(small.len())?;
    let mut found = vec![0; lead];
    for ((stride, mine), all) in strides(small).into_iter().zip(small).zip(&shape[lead..]) {
        found.push(match mine {
            n if n == all => stride as isize,
            1 => 0,
            _ => return None,
        });
    }
    Some(found)
}

/// Calls `row` for each innermost row of a walk over `extent`: with the offsets in the `N` tensors at its beginning, and the
/// number of its elements. The innermost strides are the callers' own last ones.
pub(crate) fn rows<const N: usize, E>(
    extent: &[usize],
    strides: [&[isize]; N],
    begin: [isize; N],
    mut row: impl FnMut([isize; N], usize) -> Result<(), E>,
) -> Result<(), E> {
    if extent.contains(&0) {
        return Ok(());
    }
    let (outer, inner) = extent.split_at(extent.len().saturating_sub(1));
    let length = inner.first().copied().unwrap_or(1);
    let mut at = vec![0; outer.len()];
    let mut offset = begin;
    loop {
        row(offset, length)?;
        let mut d = outer.len();
        loop {
            if d == 0 {
                return Ok(());
            }
            d -= 1;
            at[d] += 1;
            for (o, s) in offset.iter_mut().zip(&strides) {
                *o += s[d];
            }
            if at[d] < outer[d] {
                break;
            }
            for (o, s) in offset.iter_mut().zip(&strides) {
                *o -= s[d] * outer[d] as isize;
            }
            at[d] = 0;
        }
    }
}

/// The last stride, 0 when there is none.
pub(crate) fn last(strides: &[isize]) -> isize {
    strides.last().copied().unwrap_or(0)
}

/// Extents before an axis, of it and after it, multiplied together.
pub(crate) fn around(shape: &[usize], axis: usize) -> Option<(usize, usize, usize)> {
    let extent = *shape.get(axis)?;
    Some((shape[..axis].iter().product(), extent, shape[axis + 1..].iter().product()))
}
