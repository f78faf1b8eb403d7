//! Decision trees from the two ways that ONNX writes them.

use crate::library::function::{Function, Operands};
use crate::library::{LibraryError, expect};
use std::collections::{HashMap, HashSet};

/// A comparison.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Leq(f64),
    Lt(f64),
    Gte(f64),
    Gt(f64),
    Eq(f64),
    Neq(f64),
    Member(Vec<f64>),
}

/// Where a branch leads: positions in the lists of the forest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Node(usize),
    Leaf(usize),
}

/// An inner node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) feature: usize,
    test: Test,
    /// Whether a feature that is missing (NaN) passes the test.
    missing: bool,
    pub(super) then: Place,
    pub(super) otherwise: Place,
}

impl Node {
    pub(super) fn holds(&self, x: f64) -> bool {
        let passes = match &self.test {
            Test::Leq(t) => x <= *t,
            Test::Lt(t) => x < *t,
            Test::Gte(t) => x >= *t,
            Test::Gt(t) => x > *t,
            Test::Eq(t) => x == *t,
            Test::Neq(t) => x != *t && !x.is_nan(),
            Test::Member(set) => set.contains(&x),
        };
        passes || (self.missing && x.is_nan())
    }
}

/// What a leaf adds to a target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vote {
    pub(super) target: usize,
    pub(super) weight: f64,
}

/// The trees.
pub(super) struct Forest {
    pub(super) nodes: Vec<Node>,
    pub(super) leaves: Vec<Vec<Vote>>,
    pub(super) roots: Vec<Place>,
    pub(super) targets: usize,
}

const LISTS: LibraryError = LibraryError::Operands { accepted: "lists of nodes and leaves of equal lengths" };
const IDS: LibraryError = LibraryError::Operands { accepted: "node, leaf, feature and target numbers that exist" };

fn test(mode: &str, value: f64) -> Result<Test, LibraryError> {
    Ok(match mode {
        "BRANCH_LEQ" => Test::Leq(value),
        "BRANCH_LT" => Test::Lt(value),
        "BRANCH_GTE" => Test::Gte(value),
        "BRANCH_GT" => Test::Gt(value),
        "BRANCH_EQ" => Test::Eq(value),
        "BRANCH_NEQ" => Test::Neq(value),
        _ => return Err(LibraryError::Operands { accepted: "node modes of the operator's version" }),
    })
}

fn number(list: &[i64], i: usize, below: usize) -> Result<usize, LibraryError> {
    list.get(i).and_then(|n| usize::try_from(*n).ok()).filter(|n| *n < below).ok_or(IDS)
}

impl Forest {
    /// TreeEnsemble: inner nodes and leaves apart. Operands `[x, splits, leaf weights, modes, members?]`.
    pub(super) fn split(f: &Function, x: &Operands) -> Result<Forest, LibraryError> {
        const MODES: [&str; 6] = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"];
        let (splits, weights, modes) = (x.reals(1)?, x.reals(2)?, x.integers(3)?);
        let members = if x.get(4).is_some() { x.reals(4)? } else { vec![] };
        // Every set ends with a NaN.
        let mut sets = members.split_inclusive(|m| m.is_nan());
        let count = splits.len();
        let lists =
            ["nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids", "nodes_trueleafs", "nodes_falseleafs"];
        expect_lengths(f, &lists, count)?;
        expect(modes.len() == count && f.ints("leaf_targetids").len() == weights.len(), "lists of equal lengths")?;
        let targets = usize::try_from(f.int("n_targets", 1)).map_err(|_| IDS)?;
        // Attributes are found by name: once, not for every node.
        let [features, then, otherwise, then_leafs, otherwise_leafs] = lists.map(|name| f.ints(name));
        let (missing, leaf_targets) = (f.ints("nodes_missing_value_tracks_true"), f.ints("leaf_targetids"));
        let place = |ids: &[i64], leafs: &[i64], i: usize| -> Result<Place, LibraryError> {
            Ok(match leafs.get(i) {
                Some(0) => Place::Node(number(ids, i, count)?),
                _ => Place::Leaf(number(ids, i, weights.len())?),
            })
        };
        let mut nodes = Vec::with_capacity(count);
        for (i, (split, mode)) in splits.iter().zip(&modes).enumerate() {
            let test = match usize::try_from(*mode).ok() {
                Some(6) => {
                    let set = sets
                        .next()
                        .ok_or(LibraryError::Operands { accepted: "a set of members for each membership node" })?;
                    Test::Member(set.iter().copied().filter(|m| !m.is_nan()).collect())
                }
                mode => test(mode.and_then(|m| MODES.get(m)).copied().unwrap_or_default(), *split)?,
            };
            nodes.push(Node {
                feature: number(features, i, usize::MAX)?,
                test,
                missing: missing.get(i).is_some_and(|m| *m != 0),
                then: place(then, then_leafs, i)?,
                otherwise: place(otherwise, otherwise_leafs, i)?,
            });
        }
        let leaves = weights.iter().enumerate();
        let leaves = leaves
            .map(|(i, weight)| Ok(vec![Vote { target: number(leaf_targets, i, targets)?, weight: *weight }]))
            .collect::<Result<_, LibraryError>>()?;
        let roots = f.ints("tree_roots");
        let roots = (0..roots.len()).map(|i| number(roots, i, count).map(Place::Node)).collect::<Result<_, _>>()?;
        Ok(Forest { nodes, leaves, roots, targets })
    }

    /// The older form: all nodes in one list, votes beside it. Operands `[x, node values, weights, ..]`; the attributes that
    /// name votes begin with `kind`.
    pub(super) fn tuples(f: &Function, x: &Operands, kind: &str, targets: usize) -> Result<Forest, LibraryError> {
        let (values, weights) = (x.reals(1)?, x.reals(2)?);
        let modes = f.texts("nodes_modes");
        let lists = ["nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids", "nodes_treeids", "nodes_nodeids"];
        expect_lengths(f, &lists, values.len())?;
        expect(modes.len() == values.len(), "lists of nodes of equal lengths")?;
        let (trees, ids) = (f.ints("nodes_treeids"), f.ints("nodes_nodeids"));
        // Attributes are found by name: once, not for every node.
        let [features, missing, then, otherwise] =
            ["nodes_featureids", "nodes_missing_value_tracks_true", "nodes_truenodeids", "nodes_falsenodeids"]
                .map(|name| f.ints(name));
        let mut places = HashMap::with_capacity(values.len());
        let (mut leaves, mut inner) = (Vec::new(), Vec::new());
        let (mut roots, mut rooted) = (Vec::new(), HashSet::new());
        for (i, ((tree, id), mode)) in trees.iter().zip(ids).zip(modes).enumerate() {
            let place = if mode == "LEAF" {
                leaves.push(Vec::new());
                Place::Leaf(leaves.len() - 1)
            } else {
                inner.push(i);
                Place::Node(inner.len() - 1)
            };
            expect(places.insert((*tree, *id), place).is_none(), "node ids that are given once in a tree")?;
            // Nodes of a tree may be apart; its first one is its root.
            if rooted.insert(*tree) {
                roots.push(place);
            }
        }
        let mut nodes = Vec::with_capacity(inner.len());
        for i in inner {
            let tree = trees.get(i).ok_or(LISTS)?;
            let place = |ids: &[i64]| ids.get(i).and_then(|id| places.get(&(*tree, *id))).copied().ok_or(IDS);
            nodes.push(Node {
                feature: number(features, i, usize::MAX)?,
                test: test(modes.get(i).ok_or(LISTS)?, values.get(i).copied().ok_or(LISTS)?)?,
                missing: missing.get(i).is_some_and(|m| *m != 0),
                then: place(then)?,
                otherwise: place(otherwise)?,
            });
        }
        let [tree_ids, node_ids, target_ids] =
            ["treeids", "nodeids", "ids"].map(|end| f.ints(&format!("{kind}_{end}")));
        expect(
            [tree_ids, node_ids, target_ids].iter().all(|l| l.len() == weights.len()),
            "lists of votes of equal lengths",
        )?;
        for (i, weight) in weights.iter().enumerate() {
            let (Some(tree), Some(node)) = (tree_ids.get(i), node_ids.get(i)) else { return Err(LISTS) };
            match places.get(&(*tree, *node)) {
                Some(Place::Leaf(leaf)) => {
                    let vote = Vote { target: number(target_ids, i, targets)?, weight: *weight };
                    leaves.get_mut(*leaf).ok_or(IDS)?.push(vote);
                }
                // A vote at an inner node is never reached.
                Some(Place::Node(_)) => {}
                None => return Err(IDS),
            }
        }
        Ok(Forest { nodes, leaves, roots, targets })
    }
}

fn expect_lengths(f: &Function, names: &[&str], length: usize) -> Result<(), LibraryError> {
    expect(names.iter().all(|name| f.ints(name).len() == length), "lists of nodes of equal lengths")
}
