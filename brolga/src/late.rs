//! Models that can be imported only when their inputs are there: a rank or an extent that decides the graph, or axes and sizes
//! that are inputs where a graph needs constants. Each set of such values gives a model of its own; a bounded number is kept.

use crate::{Error, Model, Options, Outputs, PortInfo};
use brolga_compiler::ir::{Graph, Kind, Type};
use brolga_compiler::region::Profile;
use brolga_frontend::{ImportError, Interface};
use brolga_proto::Loaded;
use brolga_runtime::{DType, Program, Value};
use std::sync::{Arc, Mutex, PoisonError};

/// Models kept for different values.
const KEPT: usize = 8;
/// Inputs with more elements never become constants.
const MAX_ELEMENTS: usize = 64;

/// What tells two specialisations apart: of each input its shape, and its bytes when they become a constant.
type Key = Vec<(Vec<usize>, Option<Vec<u8>>)>;

/// A model that waits for its inputs.
pub(crate) struct Late {
    loaded: Arc<Loaded>,
    options: Options,
    interface: Interface,
    kept: Mutex<Vec<(Key, Arc<Model>)>>,
}

impl Late {
    /// A model whose import failed, when values of its inputs may help; else the error.
    pub(crate) fn new(loaded: &Arc<Loaded>, options: &Options, error: ImportError) -> Result<Late, Error> {
        let interface = brolga_frontend::interface(loaded, &options.import())?;
        let helps = |ty: &Type| ty.dims().is_none() || may_be_constant(ty);
        let known = match &error {
            ImportError::Unsupported(report) => report.unsupported.iter().all(|node| node.known),
            _ => false,
        };
        if !known || !interface.inputs.iter().any(|(_, ty)| helps(ty)) {
            return Err(error.into());
        }
        Ok(Late { loaded: loaded.clone(), options: options.clone(), interface, kept: Mutex::default() })
    }

    /// A graph that has the inputs and nothing else.
    pub(crate) fn inputs(&self) -> Graph {
        let mut graph = Graph::new("");
        for (name, ty) in &self.interface.inputs {
            graph.add_input(name.as_str(), ty.clone());
        }
        graph
    }

    /// Outputs as the file declares them.
    pub(crate) fn outputs(&self) -> Vec<PortInfo> {
        let port = |(name, ty): &(String, Type)| PortInfo::new(name, ty);
        self.interface.outputs.iter().map(port).collect()
    }

    /// The model for these inputs, and those of them that it still takes.
    pub(crate) fn model(&self, inputs: Vec<Value>) -> Result<(Arc<Model>, Vec<Value>), Error> {
        let (mut key, mut rest): (Key, Vec<Value>) = (Vec::new(), Vec::new());
        let mut import = self.options.import();
        for ((name, ty), value) in self.interface.inputs.iter().zip(inputs) {
            let shape = value.shape().unwrap_or_default().to_vec();
            match &value {
                Value::Tensor(tensor) if may_be_constant(ty) && tensor.len() <= MAX_ELEMENTS => {
                    key.push((shape, Some(tensor.bytes().to_vec())));
                    import.fixed.push((name.clone(), tensor.clone()));
                }
                _ => {
                    // Values that are no tensors have no shape to give.
                    if let (None, Some(shape)) = (ty.dims(), value.shape()) {
                        import.shapes.push((name.clone(), shape.to_vec()));
                    }
                    key.push((shape, None));
                    rest.push(value);
                }
            }
        }
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, model)) = lock().iter().find(|(k, _)| *k == key) {
            return Ok((model.clone(), rest));
        }
        let model = Arc::new(Model::import(&self.loaded, self.options.clone(), &import)?);
        let mut kept = lock();
        kept.push((key, model.clone()));
        if kept.len() > KEPT {
            kept.remove(0);
        }
        Ok((model, rest))
    }

    /// As [`Model::programs`].
    pub(crate) fn programs(&self, see: &mut dyn FnMut(&Program)) -> bool {
        self.models().iter().fold(false, |library, model| library | model.programs(see))
    }

    /// The models that are kept now.
    pub(crate) fn models(&self) -> Vec<Arc<Model>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|(_, model)| model.clone()).collect()
    }

    /// Runs the model for these inputs.
    pub(crate) fn run(&self, inputs: Vec<Value>, profile: Option<&Profile>) -> Result<Outputs, Error> {
        let (model, rest) = self.model(inputs)?;
        model.run_parts(rest, profile)
    }
}

/// Whether an input may be axes, sizes or the like: a small list of numbers or truth values.
fn may_be_constant(ty: &Type) -> bool {
    let list = (ty.kind == Kind::Tensor && ty.rank() <= 1) || ty.kind == Kind::Unranked;
    list && matches!(ty.dtype, DType::I64 | DType::I32 | DType::F32 | DType::Bool)
}
