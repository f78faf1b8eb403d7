//! The driver: inputs, constants, nodes in order, outputs.

use crate::context::{Captured, Context, Symbols};
use crate::error::{ImportError, NodeError, Report, UnsupportedNode};
use crate::flatten::{Flat, FlatBody, FlatNode, Name, flatten};
use crate::kinds;
use crate::registry::{find, newest, versions};
use crate::sort::sorted;
use crate::types::{fits, input_type, texts, weight};
use brolga_compiler::ir::{Bindings, Graph, Op, Type, ValueId, Weight};
use brolga_proto::tensor_shape_proto::dimension;
use brolga_proto::{GraphProto, Loaded, TensorProto, ValueInfoProto, type_proto};
use brolga_runtime::{DType, Tensor};
use std::collections::{HashMap, HashSet};

/// Bounds on what an import may take.
#[derive(Clone, Debug)]
pub struct Options {
    /// Nodes, bodies of functions counted at every call.
    pub max_nodes: usize,
    /// Bytes of a name.
    pub max_name: usize,
    /// Inputs that always have this value; they become constants of the graph.
    pub fixed: Vec<(String, Tensor)>,
    /// Shapes of inputs, in place of what the model says.
    pub shapes: Vec<(String, Vec<usize>)>,
    /// Values of symbolic dimensions.
    pub dims: Bindings,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_nodes: 1_000_000,
            max_name: 64 << 10,
            fixed: Vec::new(),
            shapes: Vec::new(),
            dims: Bindings::new(),
        }
    }
}

/// What a name stands for so far.
#[derive(Clone, Copy)]
enum Slot<'a> {
    Value(ValueId),
    /// A constant that nothing has read yet.
    Initializer(&'a TensorProto),
    /// Result of a node that is not supported.
    Unknown,
}

struct Importer<'a, 'm> {
    loaded: &'a Loaded,
    names: &'m [String],
    symbols: &'m Symbols,
    graph: Graph,
    slots: HashMap<Name, Slot<'a>>,
    report: Report,
}

/// The model as a graph.
pub fn import(loaded: &Loaded, options: &Options) -> Result<Graph, ImportError> {
    let (graph, report) = run(loaded, options)?;
    if report.unsupported.is_empty() { Ok(graph) } else { Err(ImportError::Unsupported(report)) }
}

/// Every node of the model that is not supported. Errors are those of a model that is not valid.
pub fn support_report(loaded: &Loaded, options: &Options) -> Result<Report, ImportError> {
    Ok(run(loaded, options)?.1)
}

fn run(loaded: &Loaded, options: &Options) -> Result<(Graph, Report), ImportError> {
    let model = &loaded.model;
    let Some(source) = &model.graph else {
        return Err(ImportError::Invalid("the file has no graph".into()));
    };
    if let Some(sparse) = source.sparse_initializer.first() {
        let name = sparse.values.as_ref().map_or("", |v| &v.name);
        return Err(ImportError::UnsupportedModel(format!("initializer {name:?} is sparse; dense ones are accepted")));
    }
    if source.output.is_empty() {
        return Err(ImportError::Invalid("the graph has no outputs".into()));
    }
    let flat = flatten(model, source, options)?;
    let symbols = Symbols::beside(dimension_names(source));
    let mut importer = Importer::new(loaded, &flat.names, &symbols, &source.name);
    importer.ports(source, &flat, options)?;
    importer.nodes(&flat.nodes)?;
    importer.outputs(source, &flat)?;
    importer.graph.drop_unread_weights();
    Ok((importer.graph, importer.report))
}

/// Names of the dimensions of a graph's inputs.
fn dimension_names(source: &GraphProto) -> impl Iterator<Item = &str> {
    let tensors = source.input.iter().filter_map(|port| match port.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => tensor.shape.as_ref(),
        _ => None,
    });
    tensors.flat_map(|shape| &shape.dim).filter_map(|dim| match &dim.value {
        Some(dimension::Value::DimParam(name)) => Some(name.as_str()),
        _ => None,
    })
}

fn port_type(port: &ValueInfoProto, options: &Options) -> Result<Type, ImportError> {
    let ty = input_type(port)?;
    let ty = match options.shapes.iter().find(|(name, _)| *name == port.name) {
        Some((_, shape)) => Type::known(ty.dtype, shape),
        None => ty.bind(&options.dims),
    };
    if fits(&ty) {
        return Ok(ty);
    }
    Err(ImportError::Budget(format!("input {:?} would be {ty}, more than memory can address", port.name)))
}

/// What a model takes and gives, by name, as its file declares it.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Inputs without a default.
    pub inputs: Vec<(String, Type)>,
    /// Outputs.
    pub outputs: Vec<(String, Type)>,
}

/// Reads what a model takes and gives, whether or not it can be imported.
pub fn interface(loaded: &Loaded, options: &Options) -> Result<Interface, ImportError> {
    let Some(source) = &loaded.model.graph else {
        return Err(ImportError::Invalid("the file has no graph".into()));
    };
    let default = |name: &str| source.initializer.iter().any(|tensor| tensor.name == name);
    let mut inputs = Vec::new();
    for port in source.input.iter().filter(|port| !default(&port.name)) {
        inputs.push((port.name.clone(), port_type(port, options)?));
    }
    // Files may leave the types of outputs out.
    let output = |port: &ValueInfoProto| input_type(port).unwrap_or(Type::unranked(DType::F32));
    let outputs = source.output.iter().map(|port| (port.name.clone(), output(port))).collect();
    Ok(Interface { inputs, outputs })
}

/// The graph of a body: its own inputs, of these types, then what the node captures around it.
pub(crate) fn import_body<'a>(cx: &Context<'a, '_>, body: &FlatBody<'a>, types: &[Type]) -> Result<Graph, NodeError> {
    let mut importer = Importer::new(cx.loaded, cx.names, cx.symbols, &body.graph.name);
    for (name, ty) in body.inputs.iter().zip(types) {
        let Some(name) = *name else { return Err(NodeError::Invalid("an input of its body has no name".into())) };
        let id = importer.graph.add_input(&cx.names[name], ty.clone());
        importer.slots.insert(name, Slot::Value(id));
    }
    for (name, captured) in &cx.captured {
        let slot = match captured {
            Captured::Initializer(tensor) => Slot::Initializer(tensor),
            Captured::Value(id) => Slot::Value(match cx.graph.weight(*id) {
                Some(weight) => importer.graph.add_weight(&cx.names[*name], (**weight).clone()),
                None => {
                    let value = cx.graph.value(*id);
                    let inner = importer.graph.add_input(&cx.names[*name], value.ty.clone());
                    importer.graph.set_content(inner, value.content.clone());
                    inner
                }
            }),
        };
        importer.slots.insert(*name, slot);
    }
    for (name, tensor) in &body.initializers {
        importer.slots.entry(*name).or_insert(Slot::Initializer(tensor));
    }
    let nested = |error: ImportError| match error {
        ImportError::Proto(error) => NodeError::Proto(error),
        ImportError::Budget(what) => NodeError::Budget(what),
        error => NodeError::Invalid(error.to_string()),
    };
    importer.nodes(&body.nodes).map_err(nested)?;
    for (port, name) in body.graph.output.iter().zip(&body.outputs) {
        let Some(name) = *name else { return Err(NodeError::Invalid("an output of its body has no name".into())) };
        if let Some(id) = importer.value(name)? {
            importer.graph.add_output(&port.name, id);
        }
    }
    if !importer.report.unsupported.is_empty() {
        return Err(NodeError::Nested(importer.report.unsupported));
    }
    importer.graph.drop_unread_weights();
    Ok(importer.graph)
}

impl<'a, 'm> Importer<'a, 'm> {
    fn new(loaded: &'a Loaded, names: &'m [String], symbols: &'m Symbols, graph: &str) -> Self {
        let (graph, report) = (Graph::new(graph), Report::default());
        Importer { loaded, names, symbols, graph, slots: HashMap::new(), report }
    }

    /// All nodes, operands first.
    fn nodes(&mut self, nodes: &[FlatNode<'a>]) -> Result<(), ImportError> {
        let given: HashSet<Name> = self.slots.keys().copied().collect();
        sorted(nodes, self.names, &given)?.into_iter().try_for_each(|at| self.node(&nodes[at]))
    }

    /// Initializers and inputs. An input with an initializer has a default, which is what it is taken for.
    fn ports(&mut self, source: &'a GraphProto, flat: &Flat<'a>, options: &Options) -> Result<(), ImportError> {
        let number = |name: &str| flat.numbers.get(name).copied().flatten();
        for tensor in &source.initializer {
            let Some(name) = number(&tensor.name) else {
                return Err(ImportError::Invalid("an initializer has no name".into()));
            };
            if self.slots.insert(name, Slot::Initializer(tensor)).is_some() {
                return Err(ImportError::Invalid(format!("initializer {:?} is defined twice", tensor.name)));
            }
        }
        let mut seen = HashMap::new();
        for port in &source.input {
            let Some(name) = number(&port.name) else {
                return Err(ImportError::Invalid("a graph input has no name".into()));
            };
            if seen.insert(name, ()).is_some() {
                return Err(ImportError::Invalid(format!("graph input {:?} is defined twice", port.name)));
            }
            if !self.slots.contains_key(&name) {
                let fixed = options.fixed.iter().find(|(n, _)| *n == port.name);
                let value = match fixed {
                    Some((_, tensor)) => self.graph.add_weight(&port.name, Weight::from_tensor(tensor)),
                    None => self.graph.add_input(&port.name, port_type(port, options)?),
                };
                self.slots.insert(name, Slot::Value(value));
            }
        }
        Ok(())
    }

    /// The value a name stands for; `None` when it comes from a node that is not supported.
    fn value(&mut self, name: Name) -> Result<Option<ValueId>, NodeError> {
        match self.slots.get(&name).copied() {
            Some(Slot::Value(id)) => Ok(Some(id)),
            Some(Slot::Unknown) => Ok(None),
            None => Err(NodeError::Invalid(format!("{:?} is not defined", self.names[name]))),
            Some(Slot::Initializer(tensor)) => {
                let id = match texts(tensor)? {
                    None => self.graph.add_weight(&tensor.name, weight(self.loaded, tensor)?),
                    Some((function, ty)) => {
                        let op = Op::Function { function, results: vec![ty] };
                        match self.graph.add_node(op, &[], 1, &tensor.name)?[..] {
                            [id] => id,
                            _ => return Err(NodeError::Invalid("a constant has no value".into())),
                        }
                    }
                };
                self.slots.insert(name, Slot::Value(id));
                Ok(Some(id))
            }
        }
    }

    fn node(&mut self, node: &FlatNode<'a>) -> Result<(), ImportError> {
        let opset = node.opset.unwrap_or(0);
        let named = |what: String| format!("node {:?} ({}, opset {opset}): {what}", node.name, node.op);
        let about = |what: String| ImportError::Invalid(named(what));
        let results = match self.results(node) {
            Ok(Some(results)) => results,
            // A node after one that is not supported: only its own operator can be judged.
            Ok(None) => vec![],
            Err(NodeError::Invalid(what)) => return Err(about(what)),
            Err(NodeError::Budget(what)) => return Err(ImportError::Budget(named(what))),
            Err(NodeError::Proto(e)) => return Err(e.into()),
            Err(NodeError::Nested(nodes)) => {
                self.report.unsupported.extend(nodes);
                vec![]
            }
            Err(NodeError::Unsupported(reason)) => {
                let known = find(node.op, node.domain, opset).is_ok_and(|entry| entry.is_some());
                self.report.unsupported.push(UnsupportedNode {
                    known,
                    name: node.name.clone(),
                    op: node.op.into(),
                    domain: node.domain.into(),
                    opset,
                    reason,
                });
                vec![]
            }
        };
        for (i, name) in node.outputs.iter().enumerate() {
            let Some(name) = *name else { continue };
            let slot = match results.get(i) {
                None if results.is_empty() => Slot::Unknown,
                None => return Err(about(format!("it has no result number {i}"))),
                Some(id) => {
                    self.check_result(*id).map_err(about)?;
                    if self.graph.value(*id).name.is_empty() {
                        self.graph.set_name(*id, &self.names[name]);
                    }
                    Slot::Value(*id)
                }
            };
            self.slots.insert(name, slot);
        }
        Ok(())
    }

    fn check_result(&self, id: ValueId) -> Result<(), String> {
        let ty = self.graph.ty(id);
        if fits(ty) { Ok(()) } else { Err(format!("its result would be {ty}, more than memory can address")) }
    }

    fn results(&mut self, node: &FlatNode<'a>) -> Result<Option<Vec<ValueId>>, NodeError> {
        let Some(opset) = node.opset else {
            return Err(NodeError::Invalid(format!("the model imports no opset of domain {:?}", node.domain)));
        };
        let Some(entry) = find(node.op, node.domain, opset)? else {
            let known = versions(node.op, node.domain);
            return Err(NodeError::Unsupported(if !known.is_empty() {
                format!("this operator is supported in {known}")
            } else if let Some(newest) = newest(node.domain) {
                format!("no such operator is supported (opsets 1 to {newest})")
            } else {
                "operators of this domain are not supported, unless the model defines them as functions".into()
            }));
        };
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for name in &node.inputs {
            inputs.push(match name {
                None => None,
                Some(name) => match self.value(*name)? {
                    None => return Ok(None),
                    id => id,
                },
            });
        }
        let mut captured: Vec<(Name, Captured<'a>)> = Vec::new();
        for name in node.bodies.iter().flat_map(|(_, body)| body.captures.iter().copied()) {
            if captured.iter().any(|(n, _)| *n == name) {
                continue;
            }
            captured.push(match self.slots.get(&name) {
                Some(Slot::Initializer(tensor)) => (name, Captured::Initializer(tensor)),
                _ => match self.value(name)? {
                    None => return Ok(None),
                    Some(id) => (name, Captured::Value(id)),
                },
            });
        }
        let (loaded, names, symbols, graph) = (self.loaded, self.names, self.symbols, &mut self.graph);
        let mut context = Context { loaded, graph, node, opset, inputs, symbols, names, captured };
        kinds::import(&mut context, entry.import).map(Some)
    }

    fn outputs(&mut self, source: &'a GraphProto, flat: &Flat<'a>) -> Result<(), ImportError> {
        let mut seen = HashMap::new();
        for port in &source.output {
            let Some(name) = flat.numbers.get(port.name.as_str()).copied().flatten() else {
                return Err(ImportError::Invalid("a graph output has no name".into()));
            };
            if seen.insert(name, ()).is_some() {
                return Err(ImportError::Invalid(format!("graph output {:?} is listed twice", port.name)));
            }
            match self.value(name) {
                Ok(Some(id)) => self.graph.add_output(&port.name, id),
                Ok(None) => {}
                Err(NodeError::Budget(what)) => return Err(ImportError::Budget(format!("graph output: {what}"))),
                Err(NodeError::Proto(e)) => return Err(e.into()),
                Err(NodeError::Invalid(what)) => return Err(ImportError::Invalid(format!("graph output: {what}"))),
                Err(NodeError::Unsupported(what)) => return Err(ImportError::UnsupportedModel(what)),
                Err(NodeError::Nested(nodes)) => self.report.unsupported.extend(nodes),
            }
        }
        Ok(())
    }
}
