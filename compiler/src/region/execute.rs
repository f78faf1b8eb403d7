//! Runs a cut graph: regions as compiled programs, dynamic nodes through the library, bodies as executables of their own.

use super::partition::{Stage, partition};
use super::profile::{self, Profile};
use crate::compile::{CompileError, CompileOptions, Timing, compile};
use crate::ir::eval::{self, EvalError, Prepared, Shared, bind_symbols, run_node};
use crate::ir::infer::InferError;
use crate::ir::{Bindings, Graph, Op, ValueId, flops};
use crate::pass::{self, PassError};
use brolga_runtime::{
    Instance, Pool, Program, RunError, RunOptions, Tensor, TensorView, TensorViewMut, Value, within_threads,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Programs that a region keeps for different extents.
const KEPT_PROGRAMS: usize = 8;

/// Below this many elements in all results, a region whose extents vary is computed by the library: making code for it would
/// take longer than it ever saves.
const WORTH_COMPILING: usize = 1 << 18;
/// The same where only the inputs of the whole graph give the extents: they repeat as those of a graph that is never cut do.
const WORTH_COMPILING_STEADY: usize = 1 << 12;
/// Nodes of such a region that are worth code whatever their sizes: the library spends more on each than code does.
const STEADY_NODES: usize = 8;
/// Multiplications and additions of contractions that are worth code by themselves: the library has no kernels for them.
const WORTH_A_KERNEL: u64 = 1 << 20;
/// The same in such a region.
const WORTH_A_KERNEL_STEADY: u64 = 1 << 12;

/// A cut graph could not be compiled or run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ExecuteError {
    #[error(transparent)]
    Shape(#[from] InferError),
    #[error(transparent)]
    Pass(#[from] PassError),
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error(transparent)]
    Run(#[from] RunError),
    /// An operation between the regions went wrong.
    #[error(transparent)]
    Node(#[from] EvalError),
}

/// How regions are compiled and run.
#[derive(Clone)]
pub struct Settings {
    /// CPU level, threads, limits of passes.
    pub compile: CompileOptions,
    /// Workers that run programs.
    pub pool: Arc<Pool>,
}

struct Region {
    graph: Graph,
    inputs: Vec<ValueId>,
    outputs: Vec<ValueId>,
    /// Symbols that it mentions.
    symbols: Vec<String>,
    /// Whether the inputs of the whole graph give all of them their values.
    steady: bool,
    made: Mutex<Vec<(Key, Made)>>,
    /// Constants that the library reads.
    constants: Mutex<HashMap<ValueId, Shared>>,
}

/// What runs a region for some extents.
#[derive(Clone)]
enum Made {
    Program(Arc<Instance>),
    /// The library, node by node: the region is small, and its extents vary.
    Library(Arc<Prepared>),
}

/// What a program is made for: shapes of the region's inputs, values of its symbols.
type Key = (Vec<Vec<usize>>, Vec<i64>);

enum Step {
    Region(Box<Region>),
    Node(Box<crate::ir::Node>),
}

/// A graph that is cut and ready to run, from any number of threads.
pub struct Executable {
    graph: Arc<Graph>,
    steps: Vec<Step>,
    /// For each step, the values that nothing reads after it.
    released: Vec<Vec<ValueId>>,
    /// Constants that dynamic nodes and outputs read.
    weights: HashMap<ValueId, Shared>,
    /// By the address of their graph, which the operations of `graph` keep in place.
    bodies: HashMap<usize, Executable>,
    settings: Settings,
    /// Time spent on programs so far.
    spent: Mutex<Timing>,
}

/// One run.
struct Walk<'a> {
    values: HashMap<ValueId, Shared>,
    symbols: Bindings,
    failed: &'a Mutex<Option<ExecuteError>>,
    profile: Option<&'a Profile>,
}

impl Executable {
    /// Cuts an optimised graph; compiles nothing.
    pub fn new(graph: Graph, settings: &Settings) -> Result<Executable, ExecuteError> {
        let steady = graph.symbols().into_iter().collect();
        Executable::within(graph, &steady, settings)
    }

    /// The same for a body too: `steady` are the symbols to which the inputs of the whole graph give values.
    fn within(graph: Graph, steady: &BTreeSet<String>, settings: &Settings) -> Result<Executable, ExecuteError> {
        let graph = Arc::new(graph);
        let mut made = Executable {
            steps: Vec::new(),
            released: Vec::new(),
            weights: HashMap::new(),
            bodies: HashMap::new(),
            settings: settings.clone(),
            graph: graph.clone(),
            spent: Mutex::default(),
        };
        // Position of the last step that reads a value, or of the one that makes it if none does.
        let mut last_use: HashMap<ValueId, usize> = HashMap::new();
        for stage in partition(&graph) {
            let position = made.steps.len();
            let step = match stage {
                Stage::Region { graph, inputs, outputs } => {
                    inputs.iter().chain(&outputs).for_each(|v| _ = last_use.insert(*v, position));
                    let symbols = graph.all_symbols();
                    let (made, constants) = Default::default();
                    let steady = symbols.iter().all(|name| steady.contains(name));
                    let region = Region { graph: *graph, inputs, outputs, symbols, steady, made, constants };
                    Step::Region(Box::new(region))
                }
                Stage::Node(id) => {
                    let node = graph.node(id).clone();
                    node.inputs.iter().chain(&node.outputs).for_each(|v| _ = last_use.insert(*v, position));
                    node.inputs.iter().try_for_each(|v| made.keep_weight(*v))?;
                    for body in node.op.bodies() {
                        let inner = Executable::within(optimized(&body.0, settings)?, steady, settings)?;
                        made.bodies.insert(address(&body.0), inner);
                    }
                    Step::Node(Box::new(node))
                }
            };
            made.steps.push(step);
        }
        for (_, id) in graph.outputs() {
            last_use.remove(id);
            made.keep_weight(*id)?;
        }
        made.released.resize_with(made.steps.len(), Vec::new);
        for (id, last) in last_use {
            made.released[last].push(id);
        }
        Ok(made)
    }

    /// Compiles the regions whose extents are known, those of bodies too.
    pub fn compile_known(&self) -> Result<(), ExecuteError> {
        for step in &self.steps {
            if let Step::Region(region) = step
                && region.symbols.is_empty()
            {
                let shapes = region.graph.inputs().iter().filter_map(|v| region.graph.ty(*v).dims());
                self.made(region, (shapes.collect(), vec![]), &Bindings::new())?;
            }
        }
        self.bodies.values().try_for_each(Executable::compile_known)
    }

    /// Graphs of the regions, in the order in which they run; those of bodies come last.
    pub fn regions(&self) -> Vec<&Graph> {
        let own = self.steps.iter().filter_map(|step| match step {
            Step::Region(region) => Some(&region.graph),
            Step::Node(_) => None,
        });
        let bodies = self.graph.topological().into_iter().flat_map(|id| self.graph.node(id).op.bodies());
        let bodies = bodies.filter_map(|body| self.bodies.get(&address(&body.0)));
        own.chain(bodies.flat_map(Executable::regions)).collect()
    }

    fn keep_weight(&mut self, id: ValueId) -> Result<(), ExecuteError> {
        if let (Some(weight), false) = (self.graph.weight(id), self.weights.contains_key(&id)) {
            let tensor = weight.evaluate().map_err(EvalError::from)?;
            self.weights.insert(id, Arc::new(Value::Tensor(tensor)));
        }
        Ok(())
    }

    /// Outputs on these inputs, both in the graph's order.
    pub fn run(&self, inputs: &[Shared]) -> Result<Vec<Shared>, ExecuteError> {
        within_threads(self.settings.compile.threads, || self.run_within(inputs, Bindings::new(), None))
    }

    /// The same, and where its time went.
    pub fn run_profiled(&self, inputs: &[Shared], profile: &Profile) -> Result<Vec<Shared>, ExecuteError> {
        within_threads(self.settings.compile.threads, || self.run_within(inputs, Bindings::new(), Some(profile)))
    }

    /// Time spent so far on making programs, those of bodies too.
    pub fn timing(&self) -> Timing {
        let own = *self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        self.bodies.values().map(Executable::timing).fold(own, std::ops::Add::add)
    }

    /// Calls `see` with every compiled program that is kept now; tells whether nodes between regions go to the library.
    pub fn programs(&self, see: &mut dyn FnMut(&Program)) -> bool {
        let mut library = false;
        for step in &self.steps {
            match step {
                Step::Region(region) => {
                    let made = region.made.lock().unwrap_or_else(PoisonError::into_inner);
                    let programs = made.iter().filter_map(|(_, made)| match made {
                        Made::Program(instance) => Some(instance.program()),
                        Made::Library(_) => None,
                    });
                    library |= programs.map(|program| see(program)).count() == 0;
                }
                Step::Node(node) => library |= node.op.bodies().is_empty(),
            }
        }
        self.bodies.values().fold(library, |library, body| library | body.programs(see))
    }

    fn run_within(
        &self,
        inputs: &[Shared],
        symbols: Bindings,
        profile: Option<&Profile>,
    ) -> Result<Vec<Shared>, ExecuteError> {
        let (wanted, given) = (self.graph.inputs().len(), inputs.len());
        if wanted != given {
            return Err(EvalError::Count { wanted, given }.into());
        }
        // A body reports through the evaluator's error; its own is kept here.
        let failed = Mutex::new(None);
        let mut walk = Walk { values: self.weights.clone(), symbols, failed: &failed, profile };
        for (id, value) in self.graph.inputs().iter().zip(inputs) {
            walk.set(&self.graph, *id, value.clone());
        }
        for (position, step) in self.steps.iter().enumerate() {
            match step {
                Step::Region(region) => self.run_region(region, &mut walk)?,
                Step::Node(node) => self.run_dynamic(node, &mut walk)?,
            }
            self.released[position].iter().for_each(|id| _ = walk.values.remove(id));
        }
        self.graph.outputs().iter().map(|(_, id)| Ok(walk.get(*id)?)).collect()
    }

    fn run_dynamic(&self, node: &crate::ir::Node, walk: &mut Walk) -> Result<(), ExecuteError> {
        let operands: Vec<Shared> = node.inputs.iter().map(|v| walk.get(*v)).collect::<Result<_, _>>()?;
        let run_body: &eval::RunBody = &|body, inputs, symbols| {
            let Some(inner) = self.bodies.get(&address(&body.0)) else {
                return Err(EvalError::Op("its body was not compiled".into()));
            };
            inner.run_within(inputs, symbols.clone(), walk.profile).map_err(|error| {
                let what = error.to_string();
                *walk.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                EvalError::Op(what)
            })
        };
        let run = || run_node(node, &operands, &walk.symbols, run_body);
        let stage = std::ptr::from_ref(node).addr();
        let results = match walk.profile {
            Some(profile) => profile.outside(stage, || profile::of_node(node), run),
            None => run(),
        };
        if let Some(inner) = walk.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(inner);
        }
        for (output, value) in node.outputs.iter().zip(results?) {
            walk.set(&self.graph, *output, value);
        }
        Ok(())
    }

    fn run_region(&self, region: &Region, walk: &mut Walk) -> Result<(), ExecuteError> {
        let inputs: Vec<Shared> = region.inputs.iter().map(|v| walk.get(*v)).collect::<Result<_, _>>()?;
        let tensors: Option<Vec<&Tensor>> = inputs.iter().map(|v| v.as_tensor()).collect();
        let tensors = tensors.ok_or_else(|| EvalError::Op("a region takes tensors of numbers".into()))?;
        let values = region.symbols.iter().map(|name| walk.symbols.get(name).copied().unwrap_or(0)).collect();
        let key = (tensors.iter().map(|t| t.shape().to_vec()).collect(), values);
        let results = match self.made(region, key, &walk.symbols)? {
            Made::Program(instance) => {
                let views: Vec<TensorView> = tensors.iter().map(|t| t.view()).collect();
                let mut outputs = instance.new_outputs()?;
                let mut written: Vec<TensorViewMut> = outputs.iter_mut().map(Tensor::view_mut).collect();
                let mut timings = Vec::new();
                let wanted = walk.profile.map(|_| &mut timings);
                instance.run(&views, &mut written, RunOptions { timings: wanted, ..RunOptions::default() })?;
                if let Some(profile) = walk.profile {
                    profile.add_program(&instance, &timings);
                }
                outputs.into_iter().map(|t| Arc::new(Value::Tensor(t))).collect()
            }
            Made::Library(prepared) => match walk.profile {
                Some(profile) => {
                    let stage = std::ptr::from_ref(region).addr();
                    profile.outside(stage, || profile::of_region(&region.graph), || prepared.run(&inputs))?
                }
                None => prepared.run(&inputs)?,
            },
        };
        for (output, value) in region.outputs.iter().zip(results) {
            walk.set(&self.graph, *output, value);
        }
        Ok(())
    }

    /// What runs a region for these extents: kept from before, or made now.
    fn made(&self, region: &Region, key: Key, symbols: &Bindings) -> Result<Made, ExecuteError> {
        let lock = || region.made.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut kept = lock();
            if let Some(at) = kept.iter().position(|(k, _)| *k == key) {
                kept[at..].rotate_left(1);
                return Ok(kept[kept.len() - 1].1.clone());
            }
        }
        let made = self.make(region, &key, symbols)?;
        let mut kept = lock();
        kept.push((key, made.clone()));
        if kept.len() > KEPT_PROGRAMS {
            kept.remove(0);
        }
        Ok(made)
    }

    fn make(&self, region: &Region, key: &Key, symbols: &Bindings) -> Result<Made, ExecuteError> {
        let start = Instant::now();
        let bound = region.graph.bind_shapes(&key.0, symbols)?;
        if !region.symbols.is_empty() && !worth_compiling(&bound, region.steady) {
            let mut constants = region.constants.lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(Made::Library(Arc::new(Prepared::new(bound, &mut constants)?)));
        }
        let options = &self.settings.compile;
        let compiled = compile(&optimized(&bound, &self.settings)?, options)?;
        let lower = start.elapsed().saturating_sub(compiled.timing.codegen);
        let (program, spent) = compiled.link(options.threads)?;
        {
            let mut total = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
            *total = *total + Timing { lower, ..spent };
        }
        Ok(Made::Program(Arc::new(Instance::new(Arc::new(program), self.settings.pool.clone())?)))
    }
}

/// Whether the work of a region whose extents may be others the next time pays for making code.
fn worth_compiling(graph: &Graph, steady: bool) -> bool {
    let elements = graph.values().fold(0usize, |n, (_, v)| n.saturating_add(v.ty.elements().unwrap_or(0)));
    let contracts = |op: &Op| matches!(op, Op::Conv { .. } | Op::ConvTranspose { .. } | Op::MatMul { .. });
    let nodes = graph.topological();
    let contractions = nodes.iter().map(|id| graph.node(*id)).filter(|node| contracts(&node.op));
    let flops = contractions.fold(0u64, |n, node| n.saturating_add(flops(graph, node)));
    let large = elements >= WORTH_COMPILING_STEADY || nodes.len() >= STEADY_NODES || flops >= WORTH_A_KERNEL_STEADY;
    steady && large || elements >= WORTH_COMPILING || flops >= WORTH_A_KERNEL
}

/// Tells bodies apart; it is never followed.
fn address(graph: &Arc<Graph>) -> usize {
    Arc::as_ptr(graph) as usize
}

fn optimized(graph: &Graph, settings: &Settings) -> Result<Graph, PassError> {
    Ok(pass::optimize(graph.clone(), &settings.compile.passes)?.graph)
}

impl Walk<'_> {
    fn get(&self, id: ValueId) -> Result<Shared, EvalError> {
        self.values.get(&id).cloned().ok_or_else(|| EvalError::Op(format!("{id} has no value")))
    }
    fn set(&mut self, graph: &Graph, id: ValueId, value: Shared) {
        bind_symbols(graph.ty(id), &value, &mut self.symbols);
        self.values.insert(id, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{BinaryOp, Dim, Type, UnaryOp, Weight};
    use crate::pass::PassOptions;
    use brolga_runtime::{DType, Level};

    fn product(rows: usize, inner: usize) -> Graph {
        let mut g = Graph::new("product");
        let a = g.add_input("a", Type::known(DType::F32, &[rows, inner]));
        let b = g.add_input("b", Type::known(DType::F32, &[inner, 16]));
        let op = Op::MatMul { trans_a: false, trans_b: false, bias: false, epilogue: Default::default() };
        let y = g.add_node(op, &[a, b], 1, "product").unwrap()[0];
        g.add_output("y", y);
        g
    }

    #[test]
    fn code_is_made_for_much_data_or_a_contraction() {
        assert!(!worth_compiling(&product(8, 16), false));
        assert!(worth_compiling(&product(32, 1024), false));
        assert!(worth_compiling(&product(8, 16), true));
        let mut g = Graph::new("copies");
        let x = g.add_input("x", Type::known(DType::F32, &[1 << 16]));
        let y = g.add_node(Op::Unary(UnaryOp::Relu), &[x], 1, "y").unwrap()[0];
        assert!(!worth_compiling(&g, false));
        let z = g.add_node(Op::Unary(UnaryOp::Abs), &[y], 1, "z").unwrap()[0];
        g.add_output("z", z);
        g.add_node(Op::Unary(UnaryOp::Neg), &[z], 1, "w").unwrap();
        assert!(worth_compiling(&g, false));
    }

    /// A small region whose extents vary is made ready once for each of them, and computes what the evaluator does.
    #[test]
    fn small_regions_are_prepared_once() {
        let mut g = Graph::new("rows");
        let x = g.add_input("x", Type::new(DType::F32, vec![Dim::symbol("rows"), Dim::from(2usize)]));
        let w = g.add_weight("w", Weight::from_tensor(&Tensor::from_slice(&[2], &[1.0f32, -8.0]).unwrap()));
        let sum = g.add_node(Op::Binary(BinaryOp::Add), &[x, w], 1, "sum").unwrap()[0];
        let twice = g.add_node(Op::Binary(BinaryOp::Mul), &[sum, sum], 1, "twice").unwrap()[0];
        g.add_output("sum", sum);
        g.add_output("twice", twice);
        let compile = CompileOptions { level: Level::X86_64, threads: 1, exact: false, passes: PassOptions::default() };
        let settings = Settings { compile, pool: Pool::shared(1) };
        let made = Executable::new(g.clone(), &settings).unwrap();
        let [Step::Region(region)] = &made.steps[..] else { panic!("one region") };
        for rows in [1usize, 3, 1, 3] {
            let x = Tensor::from_slice(&[rows, 2], &[1.5f32, 2.5, 3.0, 4.0, 5.0, 6.0][..2 * rows]).unwrap();
            let want = eval::evaluate(&g, std::slice::from_ref(&x)).unwrap();
            let got = made.run(&[Arc::new(Value::Tensor(x))]).unwrap();
            for (want, got) in want.iter().zip(&got) {
                assert_eq!(want.bytes(), got.as_tensor().unwrap().bytes());
            }
        }
        let kept = region.made.lock().unwrap();
        let shapes: Vec<usize> = kept.iter().map(|(key, _)| key.0[0][0]).collect();
        assert_eq!(shapes, [1, 3]);
        assert!(kept.iter().all(|(_, made)| matches!(made, Made::Library(_))));
        assert_eq!(region.constants.lock().unwrap().len(), 1);
    }
}
