//! From the model's nodes to one flat list: names numbered, calls of the model's own functions replaced by their bodies.

use crate::attributes::Attributes;
use crate::error::ImportError;
use crate::import::Options;
use brolga_proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto};
use std::collections::{HashMap, HashSet};

/// Number of a value's name.
pub(crate) type Name = usize;

/// A node with its names numbered.
#[derive(Debug)]
pub(crate) struct FlatNode<'a> {
    /// For messages; never empty.
    pub name: String,
    pub op: &'a str,
    /// Empty for the standard domain.
    pub domain: &'a str,
    /// `None` when the model does not import the domain.
    pub opset: Option<i64>,
    /// `None` is an omitted operand.
    pub inputs: Vec<Option<Name>>,
    pub outputs: Vec<Option<Name>>,
    pub attributes: Attributes<'a>,
    /// Graphs inside the node, by the name of their attribute.
    pub bodies: Vec<(&'a str, FlatBody<'a>)>,
}

impl FlatNode<'_> {
    /// Names that the node reads: its operands, and what its bodies capture.
    pub(crate) fn reads(&self) -> impl Iterator<Item = Name> {
        let captured = self.bodies.iter().flat_map(|(_, body)| body.captures.iter().copied());
        self.inputs.iter().copied().flatten().chain(captured)
    }
}

/// A graph inside a node.
#[derive(Debug)]
pub(crate) struct FlatBody<'a> {
    /// As the file has it.
    pub graph: &'a GraphProto,
    pub nodes: Vec<FlatNode<'a>>,
    pub inputs: Vec<Option<Name>>,
    pub outputs: Vec<Option<Name>>,
    pub initializers: Vec<(Name, &'a TensorProto)>,
    /// Names of the graphs around it that it reads, each once.
    pub captures: Vec<Name>,
}

/// The flat model.
pub(crate) struct Flat<'a> {
    pub nodes: Vec<FlatNode<'a>>,
    /// Text of each name.
    pub names: Vec<String>,
    /// Numbers of the names in the main graph.
    pub numbers: HashMap<&'a str, Option<Name>>,
}

/// Calls within calls; a function that calls itself never ends.
const MAX_CALLS: usize = 32;

type Opsets<'a> = HashMap<&'a str, i64>;

struct Flattener<'a, 'o> {
    flat: Flat<'a>,
    functions: HashMap<(&'a str, &'a str, &'a str), &'a FunctionProto>,
    options: &'o Options,
    /// Nodes so far, those inside bodies counted.
    nodes: usize,
    /// Bodies within bodies.
    nesting: usize,
}

/// Where the nodes of one body find what they name.
struct Scope<'a, 's> {
    numbers: HashMap<&'a str, Option<Name>>,
    /// Goes before names made inside.
    prefix: String,
    arguments: &'s Attributes<'a>,
    opsets: Opsets<'a>,
    depth: usize,
}

/// The standard domain has two spellings.
pub(crate) fn plain_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

fn opsets<'a>(imports: &'a [OperatorSetIdProto]) -> Opsets<'a> {
    imports.iter().map(|o| (plain_domain(&o.domain), o.version)).collect()
}

/// Flattens the main graph.
pub(crate) fn flatten<'a>(
    model: &'a ModelProto,
    graph: &'a GraphProto,
    options: &Options,
) -> Result<Flat<'a>, ImportError> {
    let key = |f: &'a FunctionProto| (plain_domain(&f.domain), f.name.as_str(), f.overload.as_str());
    let mut functions = HashMap::new();
    for function in &model.functions {
        if functions.insert(key(function), function).is_some() {
            return Err(ImportError::Invalid(format!("function {:?} is defined twice", function.name)));
        }
    }
    let mut flattener = Flattener {
        flat: Flat { nodes: Vec::new(), names: Vec::new(), numbers: HashMap::new() },
        functions,
        options,
        nodes: 0,
        nesting: 0,
    };
    let mut imports = opsets(&model.opset_import);
    if model.ir_version < 3 {
        imports.entry("").or_insert(1);
    }
    let arguments = Attributes::default();
    let mut scope =
        Scope { numbers: HashMap::new(), prefix: String::new(), arguments: &arguments, opsets: imports, depth: 0 };
    for port in graph.input.iter().map(|v| &v.name).chain(graph.initializer.iter().map(|t| &t.name)) {
        flattener.number(&mut scope, port)?;
    }
    flattener.body(&graph.node, &mut scope)?;
    for port in &graph.output {
        flattener.number(&mut scope, &port.name)?;
    }
    flattener.flat.numbers = scope.numbers;
    Ok(flattener.flat)
}

impl<'a> Flattener<'a, '_> {
    fn number(&mut self, scope: &mut Scope<'a, '_>, text: &'a str) -> Result<Option<Name>, ImportError> {
        if text.is_empty() {
            return Ok(None);
        }
        if let Some(number) = scope.numbers.get(text) {
            return Ok(*number);
        }
        if text.len() > self.options.max_name {
            return Err(ImportError::Budget(format!("a name of {} bytes", text.len())));
        }
        let number = self.flat.names.len();
        self.flat.names.push(format!("{}{text}", scope.prefix));
        scope.numbers.insert(text, Some(number));
        Ok(Some(number))
    }

    fn body(&mut self, nodes: &'a [NodeProto], scope: &mut Scope<'a, '_>) -> Result<(), ImportError> {
        for node in nodes {
            self.nodes += 1;
            if self.nodes > self.options.max_nodes {
                return Err(ImportError::Budget(format!("more than {} nodes", self.options.max_nodes)));
            }
            let flat = self.node(node, scope)?;
            match self.functions.get(&(flat.domain, flat.op, node.overload.as_str())) {
                Some(function) => self.call(function, flat, scope.depth)?,
                None => self.flat.nodes.push(flat),
            }
        }
        Ok(())
    }

    fn node(&mut self, node: &'a NodeProto, scope: &mut Scope<'a, '_>) -> Result<FlatNode<'a>, ImportError> {
        let mut names = |list: &'a [String]| list.iter().map(|n| self.number(scope, n)).collect::<Result<Vec<_>, _>>();
        let (inputs, outputs) = (names(&node.input)?, names(&node.output)?);
        let own = if node.name.is_empty() { node.output.first().map_or("", |n| n) } else { &node.name };
        let name = format!("{}{}", scope.prefix, if own.is_empty() { &node.op_type } else { own });
        let (mut attributes, mut bodies) = (Attributes::default(), Vec::new());
        for attribute in &node.attribute {
            if let (Some(graph), true) = (&attribute.g, attribute.ref_attr_name.is_empty()) {
                bodies.push((attribute.name.as_str(), self.graph(graph, scope)?));
            }
            if attribute.ref_attr_name.is_empty() {
                attributes.push(&attribute.name, attribute);
            } else if scope.depth == 0 {
                let what = format!("node {name:?}: attribute {:?} is a reference outside a function", attribute.name);
                return Err(ImportError::Invalid(what));
            } else if let Some(value) = scope.arguments.get(&attribute.ref_attr_name) {
                // An argument that the call leaves out leaves the attribute out too.
                attributes.push(&attribute.name, value);
            }
        }
        let domain = plain_domain(&node.domain);
        let opset = scope.opsets.get(domain).copied();
        Ok(FlatNode { name, op: &node.op_type, domain, opset, inputs, outputs, attributes, bodies })
    }

    /// A graph inside a node. What it defines hides names of the same text until its end; all other names are those around it.
    fn graph(&mut self, graph: &'a GraphProto, scope: &mut Scope<'a, '_>) -> Result<FlatBody<'a>, ImportError> {
        self.nesting += 1;
        if self.nesting > MAX_CALLS {
            return Err(ImportError::Invalid(format!("graphs are nested deeper than {MAX_CALLS}")));
        }
        let ports = graph.input.iter().map(|p| &p.name);
        let made = graph.node.iter().flat_map(|n| &n.output);
        let mut hidden = HashMap::new();
        for text in ports.chain(graph.initializer.iter().map(|t| &t.name)).chain(made) {
            let old = scope.numbers.remove(text.as_str());
            hidden.entry(text.as_str()).or_insert(old);
        }
        for text in hidden.keys().copied().collect::<std::collections::BTreeSet<_>>() {
            self.number(scope, text)?;
        }
        let around = std::mem::take(&mut self.flat.nodes);
        self.body(&graph.node, scope)?;
        let nodes = std::mem::replace(&mut self.flat.nodes, around);
        let mut names = |list: Vec<&'a str>| list.into_iter().map(|n| self.number(scope, n)).collect::<Result<_, _>>();
        let inputs: Vec<Option<Name>> = names(graph.input.iter().map(|p| p.name.as_str()).collect())?;
        let outputs: Vec<Option<Name>> = names(graph.output.iter().map(|p| p.name.as_str()).collect())?;
        let constants: Vec<Option<Name>> = names(graph.initializer.iter().map(|t| t.name.as_str()).collect())?;
        let initializers = constants.into_iter().zip(&graph.initializer).filter_map(|(n, t)| Some((n?, t))).collect();
        for (text, old) in hidden {
            match old {
                Some(old) => scope.numbers.insert(text, old),
                None => scope.numbers.remove(text),
            };
        }
        self.nesting -= 1;
        let mut body = FlatBody { graph, nodes, inputs, outputs, initializers, captures: Vec::new() };
        body.captures = captures(&body);
        Ok(body)
    }

    /// The body of `function` in place of the node that calls it.
    fn call(&mut self, function: &'a FunctionProto, node: FlatNode<'a>, depth: usize) -> Result<(), ImportError> {
        if depth >= MAX_CALLS {
            let what =
                format!("function {:?} calls itself, or calls are nested deeper than {MAX_CALLS}", function.name);
            return Err(ImportError::Invalid(what));
        }
        if node.inputs.len() > function.input.len() || node.outputs.len() > function.output.len() {
            let what = format!("node {:?} has more operands or results than function {:?}", node.name, function.name);
            return Err(ImportError::Invalid(what));
        }
        let mut arguments = node.attributes;
        for default in &function.attribute_proto {
            if arguments.get(&default.name).is_none() {
                arguments.push(&default.name, default);
            }
        }
        let mut scope = Scope {
            numbers: HashMap::new(),
            prefix: format!("{}/", node.name),
            arguments: &arguments,
            opsets: opsets(&function.opset_import),
            depth: depth + 1,
        };
        if scope.prefix.len() > self.options.max_name {
            return Err(ImportError::Budget(format!("a name of {} bytes", scope.prefix.len())));
        }
        for (i, formal) in function.input.iter().enumerate() {
            scope.numbers.insert(formal, node.inputs.get(i).copied().flatten());
        }
        // A result that is an operand as well is copied afterwards.
        let mut copies = Vec::new();
        for (formal, actual) in function.output.iter().zip(&node.outputs) {
            let Some(actual) = *actual else { continue };
            if scope.numbers.contains_key(formal.as_str()) {
                copies.push((formal, actual));
            } else {
                scope.numbers.insert(formal, Some(actual));
            }
        }
        self.body(&function.node, &mut scope)?;
        for (formal, actual) in copies {
            let from = scope.numbers.get(formal.as_str()).copied().flatten();
            self.flat.nodes.push(FlatNode {
                name: format!("{}{formal}", scope.prefix),
                op: "Identity",
                domain: "",
                opset: Some(1),
                inputs: vec![from],
                outputs: vec![Some(actual)],
                attributes: Attributes::default(),
                bodies: Vec::new(),
            });
        }
        Ok(())
    }
}

/// Names that a body reads and does not define, in the order of their first reading.
fn captures(body: &FlatBody<'_>) -> Vec<Name> {
    let made = body.nodes.iter().flat_map(|n| n.outputs.iter().copied().flatten());
    let own: HashSet<Name> =
        body.inputs.iter().copied().flatten().chain(body.initializers.iter().map(|(n, _)| *n)).chain(made).collect();
    let read = body.nodes.iter().flat_map(FlatNode::reads).chain(body.outputs.iter().copied().flatten());
    let mut seen = HashSet::new();
    read.filter(|name| !own.contains(name) && seen.insert(*name)).collect()
}

/// Whether an attribute of the list holds a graph.
pub(crate) fn has_graph(attributes: &[AttributeProto]) -> bool {
    attributes.iter().any(|a| a.g.is_some() || !a.graphs.is_empty())
}
