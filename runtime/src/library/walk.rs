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

/// The same walk in as few dimensions as it takes: those of one element go, and neighbours that every tensor crosses in one
/// stride become one. There is always a last dimension.
pub(crate) fn merged<const N: usize>(extent: &[usize], strides: [&[isize]; N]) -> (Vec<usize>, [Vec<isize>; N]) {
    let (mut extents, mut merged) = (vec![1], [(); N].map(|()| vec![0]));
    for (d, n) in extent.iter().enumerate().filter(|(_, n)| **n != 1) {
        let one_stride = |m: &Vec<isize>, s: &&[isize]| m.last() == Some(&(s[d] * *n as isize));
        let joins = merged.iter().zip(&strides).all(|(m, s)| one_stride(m, s));
        match extents.last_mut() {
            Some(last) if *last == 1 || joins => *last *= n,
            _ => {
                extents.push(*n);
                merged.iter_mut().for_each(|m| m.push(0));
            }
        }
        for (m, s) in merged.iter_mut().zip(&strides) {
            m.pop();
            m.push(s[d]);
        }
    }
    (extents, merged)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_walks_visit_the_same_offsets_in_the_same_order() {
        let cases: [(&[usize], &[isize], &[isize]); 7] = [
            (&[], &[], &[]),
            (&[1, 1], &[5, 5], &[0, 0]),
            (&[2, 3, 4], &[12, 4, 1], &[12, 4, 1]),
            (&[2, 3, 4], &[12, 4, 1], &[1, 0, 0]),
            (&[2, 1, 3, 1], &[3, 3, 1, 1], &[0, 7, 1, 9]),
            (&[4, 3, 2], &[1, 4, 12], &[6, 2, 1]),
            (&[2, 0, 3], &[0, 3, 1], &[0, 3, 1]),
        ];
        let visits = |extent: &[usize], a: &[isize], b: &[isize]| {
            let mut seen = Vec::new();
            let (sa, sb) = (last(a), last(b));
            let each = rows(extent, [a, b], [0, 0], |[a, b], n| {
                seen.extend((0..n as isize).map(|i| (a + i * sa, b + i * sb)));
                Ok::<(), ()>(())
            });
            assert_eq!(each, Ok(()));
            seen
        };
        for (extent, a, b) in cases {
            let (shape, [ma, mb]) = merged(extent, [a, b]);
            assert_eq!(visits(&shape, &ma, &mb), visits(extent, a, b), "{extent:?} as {shape:?}");
        }
        assert_eq!(merged(&[2, 1, 3, 4], [&[12, 99, 4, 1], &[1, 7, 0, 0]]), (vec![2, 12], [vec![12, 1], vec![1, 0]]));
    }
}
