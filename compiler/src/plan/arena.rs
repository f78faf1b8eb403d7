//! Offsets in one arena: greedy by size with best fit (Pisarchyk and Lee, 2020, "Efficient memory management for deep neural
//! net inference"), in several orders, the best kept.

/// Alignment of every buffer.
pub const ALIGN: usize = 64;

/// A buffer as the arena sees it: its bytes and the steps of its life, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Size.
    pub bytes: usize,
    /// First and last step.
    pub live: (usize, usize),
}

impl Span {
    fn meets(&self, other: &Span) -> bool {
        self.live.0 <= other.live.1 && other.live.0 <= self.live.1
    }
    fn padded(&self) -> usize {
        self.bytes.next_multiple_of(ALIGN)
    }
}

/// Offsets, and the size of the arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arena {
    /// One per span.
    pub offsets: Vec<usize>,
    /// Bytes.
    pub bytes: usize,
}

/// Largest sum of bytes live at one step.
pub fn lower_bound(spans: &[Span]) -> usize {
    let last = spans.iter().map(|s| s.live.1).max().unwrap_or(0);
    let mut change = vec![0i64; last + 2];
    for s in spans {
        change[s.live.0] += s.bytes as i64;
        change[s.live.1 + 1] -= s.bytes as i64;
    }
    let mut sum = 0;
    change
        .iter()
        .map(|c| {
            sum += c;
            sum
        })
        .max()
        .map_or(0, |n| n.max(0) as usize)
}

/// Spans beyond which only the order in time is tried: the others compare every span with every other.
const MANY: usize = 4096;

/// Gives every span an offset such that spans alive together do not overlap.
pub fn assign(spans: &[Span]) -> Arena {
    let bound = lower_bound(spans);
    if spans.len() > MANY {
        return fit_in_time(spans);
    }
    let length = |s: &Span| s.live.1 - s.live.0 + 1;
    let keys: [&dyn Fn(usize) -> (u128, usize); 4] = [
        &|i| (u128::MAX - spans[i].bytes as u128, spans[i].live.0),
        &|i| (u128::MAX - spans[i].bytes as u128 * length(&spans[i]) as u128, spans[i].live.0),
        &|i| (u128::MAX - length(&spans[i]) as u128, spans[i].live.0),
        &|i| (spans[i].live.0 as u128, usize::MAX - spans[i].bytes),
    ];
    let mut best: Option<Arena> = None;
    for key in keys {
        let mut order: Vec<usize> = (0..spans.len()).collect();
        order.sort_by_key(|i| (key(*i), *i));
        let arena = improve(spans, order, bound);
        if best.as_ref().is_none_or(|b| arena.bytes < b.bytes) {
            best = Some(arena);
        }
        if best.as_ref().is_some_and(|b| b.bytes <= bound.next_multiple_of(ALIGN)) {
            break;
        }
    }
    best.unwrap_or(Arena { offsets: vec![], bytes: 0 })
}

/// Places in an order; while the result is over the bound, spans that stick out are tried earlier.
fn improve(spans: &[Span], mut order: Vec<usize>, bound: usize) -> Arena {
    let mut best = fit(spans, &order);
    for _ in 0..40 {
        if best.bytes <= bound + bound / 100 {
            break;
        }
        let top = (0..spans.len()).max_by_key(|i| (best.offsets[*i] + spans[*i].padded(), *i));
        let Some(at) = top.and_then(|top| order.iter().position(|i| *i == top)) else { break };
        if at == 0 {
            break;
        }
        let moved = order.remove(at);
        order.insert(at / 2, moved);
        let next = fit(spans, &order);
        if next.bytes < best.bytes {
            best = next;
        }
    }
    best
}

/// Places spans one by one, each into the smallest gap that takes it.
fn fit(spans: &[Span], order: &[usize]) -> Arena {
    let mut fitted = Fitted { spans, placed: Vec::new(), offsets: vec![0; spans.len()], bytes: 0 };
    order.iter().for_each(|i| fitted.put(*i));
    Arena { offsets: fitted.offsets, bytes: fitted.bytes }
}

/// The same in the order in which lives begin, with only those spans in sight that are alive.
fn fit_in_time(spans: &[Span]) -> Arena {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|i| (spans[*i].live.0, usize::MAX - spans[*i].bytes, *i));
    let mut fitted = Fitted { spans, placed: Vec::new(), offsets: vec![0; spans.len()], bytes: 0 };
    for i in order {
        let now = spans[i].live.0;
        fitted.placed.retain(|(_, j)| spans[*j].live.1 >= now);
        fitted.put(i);
    }
    Arena { offsets: fitted.offsets, bytes: fitted.bytes }
}

/// Spans that have their places, by offset.
struct Fitted<'a> {
    spans: &'a [Span],
    placed: Vec<(usize, usize)>,
    offsets: Vec<usize>,
    bytes: usize,
}

impl Fitted<'_> {
    /// Places a span into the smallest gap that takes it.
    fn put(&mut self, i: usize) {
        let span = &self.spans[i];
        let mut at = 0;
        let mut found: Option<(usize, usize)> = None;
        for (offset, j) in &self.placed {
            if !self.spans[*j].meets(span) {
                continue;
            }
            if *offset > at {
                let gap = offset - at;
                if gap >= span.padded() && found.is_none_or(|(best, _)| gap < best) {
                    found = Some((gap, at));
                }
            }
            at = at.max(offset + self.spans[*j].padded());
        }
        let offset = found.map_or(at, |(_, offset)| offset);
        self.offsets[i] = offset;
        self.bytes = self.bytes.max(offset + span.padded());
        let place = self.placed.partition_point(|(o, _)| *o <= offset);
        self.placed.insert(place, (offset, i));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_spans_never_overlap_and_stay_near_the_bound() {
        let mut state = 7u64;
        let mut next = |n: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % n
        };
        let mut cases = 0;
        for case in 0..200 {
            let count = 1 + next(60);
            let spans: Vec<Span> = (0..count)
                .map(|_| {
                    let first = next(50);
                    Span { bytes: 64 * next(100), live: (first, first + next(6)) }
                })
                .collect();
            let arena = if case % 2 == 0 { assign(&spans) } else { fit_in_time(&spans) };
            for i in 0..count {
                for j in 0..i {
                    let (a, b) = (&spans[i], &spans[j]);
                    let apart = arena.offsets[i] + a.bytes <= arena.offsets[j]
                        || arena.offsets[j] + b.bytes <= arena.offsets[i];
                    assert!(!a.meets(b) || apart || a.bytes == 0 || b.bytes == 0);
                }
            }
            assert!(arena.bytes <= 2 * lower_bound(&spans) + 64);
            cases += 1;
        }
        assert_eq!(cases, 200);
    }
}
