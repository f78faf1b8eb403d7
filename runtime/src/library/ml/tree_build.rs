//! Decision trees from the two ways that ONNX writes them.

use crate::library::function::{Function, Operands};
use crate::library::{LibraryError, expect};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// How a feature may compare with the value of a node: a bit each, of which exactly one is set. What a node accepts is the set
/// of those that lead to its first child.
pub(super) mod outcome {
    pub(in super::super) const LESS: u8 = 1;
    pub(in super::super) const EQUAL: u8 = 2;
    pub(in super::super) const GREATER: u8 = 4;
    /// The feature is missing: NaN.
    pub(in super::super) const MISSING: u8 = 8;
    /// The value of the node is NaN, the feature a number.
    pub(in super::super) const NO_VALUE: u8 = 16;
}
use outcome::{EQUAL, GREATER, LESS, MISSING, NO_VALUE};

/// What a node does other than compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Compare,
    /// Looks the feature up in a set.
    Member,
    Leaf,
}

/// A node, whose value is at its own position in the list of values. `next` are the nodes to go to when the test does not hold
/// and when it does; of a leaf they bound its votes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) feature: u32,
    pub(super) next: [u32; 2],
    pub(super) accepts: u8,
    pub(super) kind: Kind,
}

/// What a leaf adds to a target: a position in the list of weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vote {
    pub(super) target: usize,
    pub(super) weight: usize,
}

/// The trees, without their numbers: values and weights stay where they are given.
pub(super) struct Forest {
    pub(super) nodes: Vec<Node>,
    pub(super) votes: Vec<Vote>,
    pub(super) roots: Vec<u32>,
    pub(super) targets: usize,
    /// Members for the nodes that look features up.
    pub(super) sets: HashMap<u32, Vec<f64>>,
    /// The target that all votes are for, when it is one.
    pub(super) only: Option<usize>,
    /// Lengths of the lists of values and weights.
    lengths: (usize, usize),
}

const IDS: LibraryError = LibraryError::Operands { accepted: "node, leaf, feature and target numbers that exist" };
const NODES: &str = "lists of nodes of equal lengths";
const VOTES: &str = "lists of votes of equal lengths";

/// What a node of this mode accepts. A missing feature passes no test, unless the node says so.
fn accepts(mode: &str, missing: bool) -> Result<u8, LibraryError> {
    let found = match mode {
        "BRANCH_LEQ" => LESS | EQUAL,
        "BRANCH_LT" => LESS,
        "BRANCH_GTE" => GREATER | EQUAL,
        "BRANCH_GT" => GREATER,
        "BRANCH_EQ" => EQUAL,
        "BRANCH_NEQ" => LESS | GREATER | NO_VALUE,
        _ => return Err(LibraryError::Operands { accepted: "node modes of the operator's version" }),
    };
    Ok(if missing { found | MISSING } else { found })
}

fn number(list: &[i64], i: usize, below: usize) -> Result<usize, LibraryError> {
    list.get(i).and_then(|n| usize::try_from(*n).ok()).filter(|n| *n < below).ok_or(IDS)
}

/// A position as nodes keep it.
fn short(position: usize) -> Result<u32, LibraryError> {
    u32::try_from(position).map_err(|_| LibraryError::Operands { accepted: "fewer than 2^32 nodes and votes" })
}

/// A feature; one that no row is long enough for is refused by the row that comes to it.
fn feature(list: &[i64], i: usize) -> Result<u32, LibraryError> {
    Ok(u32::try_from(number(list, i, usize::MAX)?).unwrap_or(u32::MAX))
}

fn leaf(votes: Range<usize>) -> Result<Node, LibraryError> {
    Ok(Node { feature: 0, next: [short(votes.start)?, short(votes.end)?], accepts: 0, kind: Kind::Leaf })
}

impl Forest {
    /// That values and weights are as many as those that the trees were made for.
    pub(super) fn expect_lengths(&self, values: usize, weights: usize) -> Result<(), LibraryError> {
        expect(values == self.lengths.0, NODES)?;
        expect(weights == self.lengths.1, VOTES)
    }

    /// TreeEnsemble: inner nodes and leaves apart, here the leaves after the nodes. Operands
    /// `[x, splits, leaf weights, modes, members?]`, of which only the lengths of the second and the third matter.
    pub(super) fn split(f: &Function, x: &Operands) -> Result<Forest, LibraryError> {
        const MODES: [&str; 6] = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"];
        let (count, weights, modes) = (x.tensor(1)?.len(), x.tensor(2)?.len(), x.integers(3)?);
        let members = if x.get(4).is_some() { x.reals(4)? } else { vec![] };
        // Every set ends with a NaN.
        let mut sets = members.split_inclusive(|m| m.is_nan());
        let lists =
            ["nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids", "nodes_trueleafs", "nodes_falseleafs"];
        expect_lengths(f, &lists, count)?;
        expect(modes.len() == count && f.ints("leaf_targetids").len() == weights, "lists of equal lengths")?;
        let targets = usize::try_from(f.int("n_targets", 1)).map_err(|_| IDS)?;
        // Attributes are found by name: once, not for every node.
        let [features, then, otherwise, then_leafs, otherwise_leafs] = lists.map(|name| f.ints(name));
        let (missing, leaf_targets) = (f.ints("nodes_missing_value_tracks_true"), f.ints("leaf_targetids"));
        let place = |ids: &[i64], leafs: &[i64], i: usize| match leafs.get(i) {
            Some(0) => short(number(ids, i, count)?),
            _ => short(count + number(ids, i, weights)?),
        };
        let mut nodes = Vec::with_capacity(count.saturating_add(weights));
        let mut found = HashMap::new();
        for (i, mode) in modes.iter().enumerate() {
            let missing = missing.get(i).is_some_and(|m| *m != 0);
            let (kind, accepts) = match usize::try_from(*mode).ok() {
                Some(6) => {
                    let set = sets
                        .next()
                        .ok_or(LibraryError::Operands { accepted: "a set of members for each membership node" })?;
                    found.insert(short(i)?, set.iter().copied().filter(|m| !m.is_nan()).collect());
                    (Kind::Member, if missing { MISSING } else { 0 })
                }
                mode => {
                    let mode = mode.and_then(|m| MODES.get(m)).copied().unwrap_or_default();
                    (Kind::Compare, accepts(mode, missing)?)
                }
            };
            let next = [place(otherwise, otherwise_leafs, i)?, place(then, then_leafs, i)?];
            nodes.push(Node { feature: feature(features, i)?, next, accepts, kind });
        }
        let mut votes = Vec::with_capacity(weights);
        for i in 0..weights {
            nodes.push(leaf(i..i + 1)?);
            votes.push(Vote { target: number(leaf_targets, i, targets)?, weight: i });
        }
        let roots = f.ints("tree_roots");
        let roots = (0..roots.len()).map(|i| short(number(roots, i, count)?)).collect::<Result<_, _>>()?;
        Ok(Forest { only: only(&votes), nodes, votes, roots, targets, sets: found, lengths: (count, weights) })
    }

    /// The older form: all nodes in one list, votes beside it. Operands `[x, node values, weights, ..]`, of which only the
    /// lengths matter; the attributes that name votes begin with `kind`.
    pub(super) fn tuples(f: &Function, x: &Operands, kind: &str, targets: usize) -> Result<Forest, LibraryError> {
        let (count, weights) = (x.tensor(1)?.len(), x.tensor(2)?.len());
        let modes = f.texts("nodes_modes");
        let lists = ["nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids", "nodes_treeids", "nodes_nodeids"];
        expect_lengths(f, &lists, count)?;
        expect(modes.len() == count, NODES)?;
        // Attributes are found by name: once, not for every node.
        let [features, then, otherwise, trees, ids] = lists.map(|name| f.ints(name));
        let missing = f.ints("nodes_missing_value_tracks_true");
        let mut places = HashMap::with_capacity(count);
        let (mut roots, mut rooted) = (Vec::new(), HashSet::new());
        for (i, (tree, id)) in trees.iter().zip(ids).enumerate() {
            expect(places.insert((*tree, *id), short(i)?).is_none(), "node ids that are given once in a tree")?;
            // Nodes of a tree may be apart; its first one is its root.
            if rooted.insert(*tree) {
                roots.push(short(i)?);
            }
        }
        let (votes, ranges) = Forest::votes(f, kind, (weights, targets), modes, &places)?;
        let mut nodes = Vec::with_capacity(count);
        for (i, ((mode, tree), votes)) in modes.iter().zip(trees).zip(ranges).enumerate() {
            if mode == "LEAF" {
                nodes.push(leaf(votes)?);
                continue;
            }
            let place = |ids: &[i64]| ids.get(i).and_then(|id| places.get(&(*tree, *id))).copied().ok_or(IDS);
            let accepts = accepts(mode, missing.get(i).is_some_and(|m| *m != 0))?;
            let (feature, next) = (feature(features, i)?, [place(otherwise)?, place(then)?]);
            nodes.push(Node { feature, next, accepts, kind: Kind::Compare });
        }
        Ok(Forest { only: only(&votes), nodes, votes, roots, targets, sets: HashMap::new(), lengths: (count, weights) })
    }

    /// The votes of the leaves, those of one leaf together in their order, and where each node's are.
    fn votes(
        f: &Function,
        kind: &str,
        (weights, targets): (usize, usize),
        modes: &[String],
        places: &HashMap<(i64, i64), u32>,
    ) -> Result<(Vec<Vote>, Vec<Range<usize>>), LibraryError> {
        let [trees, ids, target_ids] = ["treeids", "nodeids", "ids"].map(|end| f.ints(&format!("{kind}_{end}")));
        expect([trees, ids, target_ids].iter().all(|l| l.len() == weights), VOTES)?;
        let mut found = Vec::with_capacity(weights);
        for (weight, (tree, id)) in trees.iter().zip(ids).enumerate() {
            let node = *places.get(&(*tree, *id)).ok_or(IDS)? as usize;
            // A vote at an inner node is never reached.
            if modes.get(node).is_some_and(|mode| mode == "LEAF") {
                found.push((node, Vote { target: number(target_ids, weight, targets)?, weight }));
            }
        }
        found.sort_by_key(|(node, _)| *node);
        let mut ranges = vec![0..0; modes.len()];
        let mut begin = 0;
        for group in found.chunk_by(|(a, _), (b, _)| a == b) {
            if let Some(range) = group.first().and_then(|(node, _)| ranges.get_mut(*node)) {
                *range = begin..begin + group.len();
            }
            begin += group.len();
        }
        Ok((found.into_iter().map(|(_, vote)| vote).collect(), ranges))
    }
}

/// The target that all votes are for.
fn only(votes: &[Vote]) -> Option<usize> {
    votes.first().map(|v| v.target).filter(|only| votes.iter().all(|v| v.target == *only))
}

fn expect_lengths(f: &Function, names: &[&str], length: usize) -> Result<(), LibraryError> {
    expect(names.iter().all(|name| f.ints(name).len() == length), NODES)
}
