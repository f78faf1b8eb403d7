//! A loaded model: the optimised graph, and a bounded cache from sizes to compiled programs.

use crate::error::of_class;
use crate::late::Late;
use crate::{Error, ErrorKind, Options};
use brolga_compiler::compile::{CompileOptions, Compiled, compile};
use brolga_compiler::ir::{Bindings, Dim, Graph, KeyType, Kind, Type};
use brolga_compiler::pass::{self, PassRecord};
use brolga_compiler::region::{Executable, Profile, Settings, is_static};
use brolga_proto::Loaded;
use brolga_runtime::{DType, Instance, Level, Map, Pool, Program, RunOptions, Tensor, Value};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Programs kept for different sizes.
const KEPT_PROGRAMS: usize = 8;

/// An input or output: its extents may be symbolic.
#[derive(Clone, Debug)]
pub struct PortInfo {
    /// Name in the model.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents; none when only a run can tell how many there are, and for values that are no tensors.
    pub shape: Option<Vec<Dim>>,
}

impl PortInfo {
    pub(crate) fn new(name: &str, ty: &Type) -> PortInfo {
        let shape = (ty.kind == Kind::Tensor).then(|| ty.shape.clone());
        PortInfo { name: name.to_owned(), dtype: ty.dtype, shape }
    }
}

/// Time from file to runnable, by part.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadTiming {
    /// Reading and importing.
    pub parse: Duration,
    /// Passes, layout, memory plan, lowering.
    pub passes: Duration,
    /// Machine code.
    pub codegen: Duration,
    /// Packing weights.
    pub pack: Duration,
    /// All of it.
    pub total: Duration,
}

impl LoadTiming {
    /// The same and the parts of another; what `total` is does not change.
    fn with(self, part: &LoadTiming) -> LoadTiming {
        LoadTiming {
            parse: self.parse + part.parse,
            passes: self.passes + part.passes,
            codegen: self.codegen + part.codegen,
            pack: self.pack + part.pack,
            total: self.total,
        }
    }
}

/// A model that can be run, from any number of threads at once.
pub struct Model {
    imported: Graph,
    /// Optimised with whatever is symbolic left so.
    optimized: Graph,
    log: Vec<PassRecord>,
    options: Options,
    level: Level,
    pool: Arc<Pool>,
    programs: Mutex<Vec<(Bindings, Arc<Instance>)>>,
    /// For graphs that only a run can size: the graph cut into regions.
    regions: Option<Executable>,
    /// For models that need the values of inputs to be imported.
    late: Option<Late>,
    timing: Mutex<LoadTiming>,
}

impl Model {
    /// Loads a file with the default options.
    pub fn load(path: impl AsRef<Path>) -> Result<Model, Error> {
        Model::load_with(path, Options::default())
    }

    /// Loads a file. When all sizes are known, the code is made here and not at the first run.
    pub fn load_with(path: impl AsRef<Path>, options: Options) -> Result<Model, Error> {
        let start = Instant::now();
        let loaded = Arc::new(brolga_proto::load(path.as_ref(), &options.limits)?);
        Model::build(&loaded, options, start)
    }

    /// Loads a model from memory; it cannot have external data.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>, options: Options) -> Result<Model, Error> {
        let start = Instant::now();
        let loaded = Arc::new(brolga_proto::decode(bytes.into().into(), &options.limits)?);
        Model::build(&loaded, options, start)
    }

    /// Imports and optimises, and compiles nothing.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Model, Error> {
        let start = Instant::now();
        let loaded = Arc::new(brolga_proto::load(path.as_ref(), &options.limits)?);
        Model::prepare(&loaded, options, start)
    }

    pub(crate) fn build(loaded: &Arc<Loaded>, options: Options, start: Instant) -> Result<Model, Error> {
        let model = Model::prepare(loaded, options, start)?;
        if let Some(regions) = &model.regions {
            regions.compile_known()?;
        } else if model.is_static() && model.imported.symbols().is_empty() {
            model.program(&Bindings::new())?;
        }
        model.timing().total = start.elapsed();
        Ok(model)
    }

    fn prepare(loaded: &Arc<Loaded>, options: Options, start: Instant) -> Result<Model, Error> {
        if !options.dims.is_empty() {
            let interface = brolga_frontend::interface(loaded, &brolga_frontend::Options::default())?;
            let symbols: Vec<String> = interface.inputs.iter().flat_map(|(_, ty)| ty.symbols()).collect();
            check_dims(&symbols, &options.dims)?;
        }
        match brolga_frontend::import(loaded, &options.import()) {
            Ok(imported) => Model::optimise(imported, options, start),
            Err(error) if of_class(error.class()) == ErrorKind::Unsupported => {
                let late = Late::new(loaded, &options, error)?;
                let model = Model::optimise(late.inputs(), options, start)?;
                Ok(Model { late: Some(late), ..model })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Imports with these options of the frontend, and optimises.
    pub(crate) fn import(loaded: &Loaded, options: Options, import: &brolga_frontend::Options) -> Result<Model, Error> {
        let start = Instant::now();
        Model::optimise(brolga_frontend::import(loaded, import)?, options, start)
    }

    fn optimise(imported: Graph, options: Options, start: Instant) -> Result<Model, Error> {
        let level = match options.level.or_else(Level::host) {
            Some(level) => level,
            None => return Err(Error::Machine("no code can be made for this machine's CPU".into())),
        };
        let parse = start.elapsed();
        let start = Instant::now();
        let outcome = pass::optimize(imported.clone(), &options.passes)?;
        let pool = Pool::shared(options.thread_count());
        let settings = Settings { compile: compile_options(&options, level), pool: pool.clone() };
        let static_graph = is_static(&outcome.graph);
        let regions = if static_graph { None } else { Some(Executable::new(outcome.graph.clone(), &settings)?) };
        let timing = LoadTiming { parse, passes: start.elapsed(), ..LoadTiming::default() };
        Ok(Model {
            imported,
            optimized: outcome.graph,
            log: outcome.log,
            pool,
            regions,
            late: None,
            options,
            level,
            programs: Mutex::default(),
            timing: Mutex::new(timing),
        })
    }

    fn timing(&self) -> std::sync::MutexGuard<'_, LoadTiming> {
        self.timing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Inputs in order.
    pub fn inputs(&self) -> Vec<PortInfo> {
        let port = |id| {
            let value = self.imported.value(id);
            PortInfo::new(&value.name, &value.ty)
        };
        self.imported.inputs().iter().map(|v| port(*v)).collect()
    }

    /// Outputs in order.
    pub fn outputs(&self) -> Vec<PortInfo> {
        if let Some(late) = &self.late {
            return late.outputs();
        }
        let port = |(name, id): &(String, _)| PortInfo::new(name, self.imported.ty(*id));
        self.imported.outputs().iter().map(port).collect()
    }

    /// The optimised graph before any choice that depends on a target: the same text on every machine.
    pub fn ir_text(&self) -> String {
        self.optimized.to_text()
    }
    /// The optimised graph.
    pub fn graph(&self) -> &Graph {
        &self.optimized
    }
    /// The graph as imported.
    pub fn imported(&self) -> &Graph {
        &self.imported
    }
    /// What each pass did and refused.
    pub fn pass_log(&self) -> &[PassRecord] {
        &self.log
    }
    /// CPU level that code is made for.
    pub fn level(&self) -> Level {
        self.level
    }
    /// What the compiler is told.
    pub fn compile_options(&self) -> CompileOptions {
        compile_options(&self.options, self.level)
    }
    /// Time from file to runnable so far, of programs made by runs too.
    pub fn load_timing(&self) -> LoadTiming {
        let mut timing = *self.timing();
        if let Some(regions) = &self.regions {
            let spent = regions.timing();
            timing.passes += spent.lower;
            timing.codegen += spent.codegen;
            timing.pack += spent.pack;
        }
        self.late.iter().flat_map(Late::models).fold(timing, |sum, model| sum.with(&model.load_timing()))
    }

    /// Whether all of it is one program once the symbolic dimensions have values. Otherwise it runs region by region, and
    /// [`Model::compile`] refuses it.
    pub fn is_static(&self) -> bool {
        self.regions.is_none() && self.late.is_none()
    }
    /// The graphs that are compiled of a model that runs region by region, in the order in which they run.
    pub fn regions(&self) -> Vec<&Graph> {
        self.regions.iter().flat_map(Executable::regions).collect()
    }
    /// Whether what some inputs hold decides the graph, which is then empty here: [`Model::for_inputs`] has it.
    pub fn needs_inputs(&self) -> bool {
        self.late.is_some()
    }
    /// Where inputs decide the graph: the model for these, and those of them that it still takes.
    pub fn for_inputs(&self, inputs: Vec<Value>) -> Result<Option<(Arc<Model>, Vec<Value>)>, Error> {
        self.check_count(inputs.len())?;
        self.late.as_ref().map(|late| late.model(inputs)).transpose()
    }
    /// Calls `see` with every compiled program that is kept now; tells whether there are nodes outside of them, which go to
    /// the library.
    pub fn programs(&self, see: &mut dyn FnMut(&Program)) -> bool {
        let programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        programs.iter().for_each(|(_, instance)| see(instance.program()));
        let library = self.regions.as_ref().is_some_and(|regions| regions.programs(see));
        self.late.as_ref().is_some_and(|late| late.programs(see)) | library
    }

    /// Compiles for these values of the symbolic dimensions, without linking.
    pub fn compile(&self, dims: &Bindings) -> Result<Compiled, Error> {
        if self.late.is_some() {
            return Err(Error::Dynamic("what some inputs hold decides the graph".into()));
        }
        if self.regions.is_some() {
            return Err(Error::Dynamic(dynamic_nodes(&self.optimized)));
        }
        for symbol in self.imported.symbols() {
            if !dims.contains_key(&symbol) {
                return Err(Error::Unbound(symbol));
            }
        }
        let options = self.compile_options();
        if dims.is_empty() {
            return Ok(compile(&self.optimized, &options)?);
        }
        check_dims(&self.imported.symbols(), dims)?;
        let bound = self.imported.bind(dims)?;
        let bound = pass::optimize(bound, &self.options.passes)?.graph;
        Ok(compile(&bound, &options)?)
    }

    /// The program for these values of the symbolic dimensions; made at most once while it stays in the cache.
    pub fn program(&self, dims: &Bindings) -> Result<Arc<Instance>, Error> {
        let lock = || self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut programs = lock();
            if let Some(at) = programs.iter().position(|(d, _)| d == dims) {
                let found = programs.remove(at);
                programs.push(found.clone());
                return Ok(found.1);
            }
        }
        let start = Instant::now();
        let compiled = self.compile(dims)?;
        let lowered = start.elapsed().saturating_sub(compiled.timing.codegen);
        let (program, spent) = compiled.link(self.options.thread_count())?;
        let instance = Arc::new(Instance::new(Arc::new(program), self.pool.clone())?);
        {
            let mut timing = self.timing();
            timing.passes += lowered;
            timing.codegen += spent.codegen;
            timing.pack += spent.pack;
        }
        let mut programs = lock();
        programs.push((dims.clone(), instance.clone()));
        if programs.len() > KEPT_PROGRAMS {
            programs.remove(0);
        }
        Ok(instance)
    }

    /// Values of the symbolic dimensions that inputs of these shapes imply.
    pub fn bindings(&self, shapes: &[&[usize]]) -> Result<Bindings, Error> {
        let mut found = Bindings::new();
        for (id, shape) in self.imported.inputs().iter().zip(shapes) {
            let value = self.imported.value(*id);
            let mismatch = || {
                Error::Usage(format!("input `{}` is {}, a tensor of shape {shape:?} was given", value.name, value.ty))
            };
            if value.ty.rank() != shape.len() {
                return Err(mismatch());
            }
            for (dim, extent) in value.ty.shape.iter().zip(*shape) {
                let extent = i64::try_from(*extent).map_err(|_| mismatch())?;
                match dim.bind(&found) {
                    Dim::Const(n) if n == extent => {}
                    Dim::Const(_) => return Err(mismatch()),
                    other => {
                        let mut names = Vec::new();
                        other.symbols(&mut names);
                        let [name] = &names[..] else { return Err(mismatch()) };
                        if other != Dim::symbol(name.clone()) {
                            return Err(mismatch());
                        }
                        found.insert(name.clone(), extent);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Runs the model on inputs by name.
    pub fn run<'a, V: Into<Value>>(&self, inputs: impl IntoIterator<Item = (&'a str, V)>) -> Result<Outputs, Error> {
        let mut slots: Vec<Option<Value>> = vec![None; self.imported.inputs().len()];
        for (name, value) in inputs {
            let at = self.imported.inputs().iter().position(|v| self.imported.value(*v).name == name);
            match at.and_then(|at| slots.get_mut(at)) {
                Some(slot) => *slot = Some(value.into()),
                None => {
                    return Err(Error::Usage(format!(
                        "the model has no input `{name}`; its inputs are {}",
                        self.names()
                    )));
                }
            }
        }
        let values: Option<Vec<Value>> = slots.into_iter().collect();
        match values {
            Some(values) => self.run_values(values),
            None => Err(Error::Usage(format!("not all inputs were given; the model's inputs are {}", self.names()))),
        }
    }

    fn names(&self) -> String {
        let names: Vec<String> = self.inputs().into_iter().map(|p| format!("`{}`", p.name)).collect();
        names.join(", ")
    }

    fn check_count(&self, given: usize) -> Result<(), Error> {
        let count = self.imported.inputs().len();
        if given == count {
            return Ok(());
        }
        Err(Error::Usage(format!("the model has {count} inputs ({}), {given} were given", self.names())))
    }

    /// Runs the model on values of any kind by position.
    pub fn run_values(&self, inputs: Vec<Value>) -> Result<Outputs, Error> {
        self.run_parts(inputs, None)
    }

    /// The same, and where its time went.
    pub fn run_profiled(&self, inputs: Vec<Value>, profile: &Profile) -> Result<Outputs, Error> {
        self.run_parts(inputs, Some(profile))
    }

    pub(crate) fn run_parts(&self, inputs: Vec<Value>, profile: Option<&Profile>) -> Result<Outputs, Error> {
        self.check_count(inputs.len())?;
        if let Some(late) = &self.late {
            for (id, value) in self.imported.inputs().iter().zip(&inputs) {
                check_value(self.imported.value(*id), value)?;
            }
            return late.run(inputs, profile);
        }
        let Some(regions) = &self.regions else {
            let tensors: Option<Vec<Tensor>> = inputs.into_iter().map(Value::into_tensor).collect();
            let tensors = tensors.ok_or_else(|| Error::Usage("the model takes tensors of numbers".into()))?;
            return self.run_program(&tensors, profile);
        };
        for (id, value) in self.imported.inputs().iter().zip(&inputs) {
            check_value(self.imported.value(*id), value)?;
        }
        let shared: Vec<Arc<Value>> = inputs.into_iter().map(Arc::new).collect();
        let results = match profile {
            Some(profile) => regions.run_profiled(&shared, profile)?,
            None => regions.run(&shared)?,
        };
        let values = results.into_iter().map(|v| Arc::try_unwrap(v).unwrap_or_else(|v| (*v).clone())).collect();
        Ok(Outputs { names: self.output_names(), values })
    }

    fn output_names(&self) -> Vec<String> {
        self.imported.outputs().iter().map(|(name, _)| name.clone()).collect()
    }

    /// Runs the model on tensors by position.
    pub fn run_tensors(&self, inputs: &[Tensor]) -> Result<Outputs, Error> {
        self.check_count(inputs.len())?;
        if !self.is_static() {
            return self.run_values(inputs.iter().cloned().map(Value::Tensor).collect());
        }
        self.run_program(inputs, None)
    }

    fn run_program(&self, inputs: &[Tensor], profile: Option<&Profile>) -> Result<Outputs, Error> {
        let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
        let instance = self.program(&self.bindings(&shapes)?)?;
        let mut timings = Vec::new();
        let wanted = profile.map(|_| &mut timings);
        let tensors = instance.run_tensors(inputs, RunOptions { timings: wanted, ..RunOptions::default() })?;
        if let Some(profile) = profile {
            profile.add_program(&instance, &timings);
        }
        Ok(Outputs { names: self.output_names(), values: tensors.into_iter().map(Value::Tensor).collect() })
    }
}

/// What the compiler is to know.
fn compile_options(options: &Options, level: Level) -> CompileOptions {
    let Options { exact, passes, .. } = options.clone();
    CompileOptions { level, threads: options.thread_count(), exact, passes }
}

/// Refuses a value that is not of an input's element type and rank.
fn check_value(input: &brolga_compiler::ir::Value, value: &Value) -> Result<(), Error> {
    let ty = &input.ty;
    let tensor = ty.kind == Kind::Tensor || ty.kind == Kind::Unranked;
    let rank = value.shape().map(<[usize]>::len);
    let extents = ty.shape.iter().map(|d| d.known().and_then(|n| usize::try_from(n).ok()));
    let same = |shape: &[usize]| shape.iter().zip(extents).all(|(n, wanted)| wanted.is_none_or(|w| w == *n));
    let fits = match value.dtype() {
        Some(dtype) if tensor => {
            dtype == ty.dtype
                && (ty.kind == Kind::Unranked || (rank == Some(ty.rank()) && value.shape().is_some_and(same)))
        }
        Some(_) => matches!(ty.kind, Kind::Optional),
        None => !tensor && (!ty.is_map() || is_map_of(ty, value)),
    };
    if fits { Ok(()) } else { Err(Error::Usage(format!("input `{}` is {ty}; another value was given", input.name))) }
}

/// Whether a value is a map, or a sequence of maps, with keys and values of these types.
fn is_map_of(ty: &Type, value: &Value) -> bool {
    let fits = |map: &Map, key: KeyType| map.keys().dtype() == DType::from(key) && map.dtype() == ty.dtype;
    match (ty.kind, value) {
        (Kind::Map(key), Value::Map(map)) => fits(map, key),
        (Kind::MapSequence(key), Value::Sequence(maps)) => {
            maps.iter().all(|value| matches!(value, Value::Map(map) if fits(map, key)))
        }
        _ => false,
    }
}

/// The nodes for which a graph is no single program, in words.
fn dynamic_nodes(graph: &Graph) -> String {
    let names: Vec<String> = graph
        .nodes()
        .filter(|node| node.op.stored_results().is_some())
        .take(8)
        .map(|node| format!("'{}'", node.name))
        .collect();
    names.join(", ")
}

/// Refuses values for symbols that the model does not have, and values below 0.
fn check_dims(symbols: &[String], dims: &Bindings) -> Result<(), Error> {
    for (name, value) in dims {
        if !symbols.contains(name) {
            let known = if symbols.is_empty() { "none".to_owned() } else { symbols.join(", ") };
            return Err(Error::Usage(format!("the model has no symbolic dimension `{name}`; it has {known}")));
        }
        if *value < 0 {
            return Err(Error::Usage(format!("dimension `{name}` cannot be {value}")));
        }
    }
    Ok(())
}

/// Results of a run, in order and by name.
#[derive(Clone, Debug)]
pub struct Outputs {
    names: Vec<String>,
    values: Vec<Value>,
}

impl Outputs {
    /// The output of this name, when it is a tensor.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.value(name)?.as_tensor()
    }
    /// The output of this name, whatever it is.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.names.iter().position(|n| n == name).map(|i| &self.values[i])
    }
    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.names.iter().map(String::as_str).zip(&self.values)
    }
    /// Names and tensors in order; other values are left out.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.iter().filter_map(|(name, value)| Some((name, value.as_tensor()?)))
    }
    /// Number of outputs.
    pub fn len(&self) -> usize {
        self.values.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
    /// The values in order.
    pub fn into_values(self) -> Vec<Value> {
        self.values
    }
    /// The tensors in order; an error names the first output that is none.
    pub fn into_tensors(self) -> Result<Vec<Tensor>, Error> {
        let tensor = |(name, value): (String, Value)| match value {
            Value::Tensor(tensor) => Ok(tensor),
            _ => Err(Error::Usage(format!("output `{name}` is no tensor of numbers"))),
        };
        self.names.into_iter().zip(self.values).map(tensor).collect()
    }
}

impl std::ops::Index<usize> for Outputs {
    type Output = Tensor;
    /// The output at this position.
    ///
    /// # Panics
    /// When there is none, or when it is no tensor; [`Outputs::iter`] gives every kind of value.
    #[allow(clippy::panic)]
    fn index(&self, position: usize) -> &Tensor {
        match &self.values[position] {
            Value::Tensor(tensor) => tensor,
            _ => panic!("output {position} is no tensor"),
        }
    }
}
