//! Small models with awkward sizes, one for each family of kernels.

use brolga_proto::*;
use brolga_tests::zoo;
use prost::Message;

/// A model under construction: each node's output feeds the next.
struct Maker {
    nodes: Vec<NodeProto>,
    weights: Vec<TensorProto>,
    last: String,
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 2, i: value, ..Default::default() }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 7, ints: values.to_vec(), ..Default::default() }
}

fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 3, s: value.as_bytes().to_vec().into(), ..Default::default() }
}

fn port(name: &str, dims: Option<&[usize]>) -> ValueInfoProto {
    use tensor_shape_proto::{Dimension, dimension::Value};
    let dim = |n: &usize| Dimension { value: Some(Value::DimValue(*n as i64)), ..Default::default() };
    let shape = dims.map(|dims| TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: 1, shape };
    let ty = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(ty) }
}

impl Maker {
    fn new() -> Maker {
        Maker { nodes: Vec::new(), weights: Vec::new(), last: "x".into() }
    }

    /// A random weight, around `offset`.
    fn weight(&mut self, shape: &[usize], std: f64, offset: f32) -> String {
        let name = format!("w{}", self.weights.len());
        let values = zoo::fill(&name, shape, std);
        let raw: Vec<u8> = values.iter().flat_map(|value| (value + offset).to_le_bytes()).collect();
        self.tensor(&name, 1, shape, raw);
        name
    }

    fn tensor(&mut self, name: &str, data_type: i32, shape: &[usize], raw: Vec<u8>) {
        let dims = shape.iter().map(|extent| *extent as i64).collect();
        self.weights.push(TensorProto {
            name: name.into(),
            data_type,
            dims,
            raw_data: raw.into(),
            ..Default::default()
        });
    }

    fn integers(&mut self, values: &[i64]) -> String {
        let name = format!("w{}", self.weights.len());
        self.tensor(&name, 7, &[values.len()], values.iter().flat_map(|value| value.to_le_bytes()).collect());
        name
    }

    fn floats(&mut self, values: &[f32]) -> String {
        let name = format!("w{}", self.weights.len());
        self.tensor(&name, 1, &[values.len()], values.iter().flat_map(|value| value.to_le_bytes()).collect());
        name
    }

    /// A node of any inputs; its output becomes the last value.
    fn node(&mut self, op: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> String {
        let output = format!("v{}", self.nodes.len());
        let input = inputs.iter().map(|name| (*name).into()).collect();
        let name = format!("{op}{}", self.nodes.len());
        let output_names = vec![output.clone()];
        self.nodes.push(NodeProto {
            op_type: op.into(),
            name,
            input,
            output: output_names,
            attribute,
            ..Default::default()
        });
        self.last.clone_from(&output);
        output
    }

    /// A node of the last value and further inputs.
    fn then(&mut self, op: &str, more: &[&str], attributes: Vec<AttributeProto>) -> String {
        let last = self.last.clone();
        let inputs: Vec<&str> = std::iter::once(last.as_str()).chain(more.iter().copied()).collect();
        self.node(op, &inputs, attributes)
    }

    fn linear(&mut self, from: &str, columns: (usize, usize)) -> String {
        let weight = self.weight(&[columns.0, columns.1], (columns.0 as f64).sqrt().recip(), 0.0);
        self.node("MatMul", &[from, &weight], vec![])
    }

    fn conv(&mut self, op: &str, weight: &[usize], outputs: usize, attributes: Vec<AttributeProto>) -> String {
        let reduced: usize = weight[1..].iter().product();
        let kernel = self.weight(weight, (reduced as f64).sqrt().recip(), 0.0);
        let bias = self.weight(&[outputs], 0.5, 0.0);
        self.then(op, &[&kernel, &bias], attributes)
    }

    fn finish(self, input: &[usize]) -> (Vec<u8>, Vec<usize>) {
        let graph = GraphProto {
            name: "made".into(),
            node: self.nodes,
            input: vec![port("x", Some(input))],
            output: vec![port(&self.last, None)],
            initializer: self.weights,
            ..Default::default()
        };
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 20 }];
        let model = ModelProto { ir_version: 9, opset_import, graph: Some(graph), ..Default::default() };
        (model.encode_to_vec(), input.to_vec())
    }
}

/// A block of a transformer: layer norm, softmax over products, GELU, residuals.
pub fn attention() -> (Vec<u8>, Vec<usize>) {
    let (tokens, width) = (17, 24);
    let mut m = Maker::new();
    let norm = |m: &mut Maker, from: &str| {
        let (scale, bias) = (m.weight(&[width], 0.1, 1.0), m.weight(&[width], 0.1, 0.0));
        m.node("LayerNormalization", &[from, &scale, &bias], vec![int("axis", -1)])
    };
    let normal = norm(&mut m, "x");
    let (q, k, v) =
        (m.linear(&normal, (width, width)), m.linear(&normal, (width, width)), m.linear(&normal, (width, width)));
    let k = m.node("Transpose", &[&k], vec![ints("perm", &[0, 2, 1])]);
    m.node("MatMul", &[&q, &k], vec![]);
    let scores = m.then("Softmax", &[], vec![int("axis", -1)]);
    m.node("MatMul", &[&scores, &v], vec![]);
    let attended = m.then("Add", &["x"], vec![]);
    let normal = norm(&mut m, &attended);
    m.linear(&normal, (width, 4 * width));
    let inner = m.then("Gelu", &[], vec![]);
    m.linear(&inner, (4 * width, width));
    m.then("Add", &[&attended], vec![]);
    m.finish(&[2, tokens, width])
}

/// Convolutions with strides, dilation, groups and uneven pads, poolings, resizing, normalisations.
pub fn windows() -> (Vec<u8>, Vec<usize>) {
    let mut m = Maker::new();
    m.conv("Conv", &[18, 3, 3, 3], 18, vec![ints("strides", &[2, 2]), ints("pads", &[0, 1, 2, 1])]);
    m.then("LeakyRelu", &[], vec![]);
    m.conv("Conv", &[12, 6, 3, 3], 12, vec![int("group", 3), ints("dilations", &[2, 2]), ints("pads", &[2, 2, 2, 2])]);
    let (scale, bias) = (m.weight(&[12], 0.1, 1.0), m.weight(&[12], 0.1, 0.0));
    let left = m.then("InstanceNormalization", &[&scale, &bias], vec![]);
    m.then("MaxPool", &[], vec![ints("kernel_shape", &[3, 3]), ints("strides", &[1, 1]), ints("pads", &[1, 1, 1, 1])]);
    let right = m.then("LRN", &[], vec![int("size", 5)]);
    m.node("Concat", &[&left, &right], vec![int("axis", 1)]);
    let average = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2]), int("ceil_mode", 1)];
    m.then("AveragePool", &[], average);
    let kernel = m.weight(&[24, 5, 3, 3], 0.1, 0.0);
    m.then("ConvTranspose", &[&kernel], vec![ints("strides", &[2, 2]), ints("pads", &[1, 1, 1, 1])]);
    let (none, scales) = (m.floats(&[]), m.floats(&[1.0, 1.0, 1.5, 2.0]));
    m.then("Resize", &[&none, &scales], vec![string("mode", "linear")]);
    let pads = m.integers(&[0, 0, 1, 0, 0, 0, 2, 1]);
    m.then("Pad", &[&pads], vec![string("mode", "reflect")]);
    m.finish(&[2, 3, 19, 23])
}

/// Functions of one value, broadcasting, reductions, and moves of data.
pub fn elementwise() -> (Vec<u8>, Vec<usize>) {
    let mut m = Maker::new();
    let functions = ["Exp", "Tanh", "Sigmoid", "Erf", "Softplus", "Mish", "Floor", "Round", "Abs", "HardSwish", "Neg"];
    let parts: Vec<String> = functions.iter().map(|op| m.node(op, &["x"], vec![])).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let all = m.node("Concat", &parts, vec![int("axis", 1)]);
    m.then("Abs", &[], vec![]);
    let roots = m.then("Sqrt", &[], vec![]);
    let row = m.weight(&[1, 1, 13], 0.5, 2.0);
    m.node("Div", &[&all, &row], vec![]);
    m.then("Add", &[&roots], vec![]);
    m.then("Transpose", &[], vec![ints("perm", &[2, 0, 1])]);
    let axes = m.integers(&[0]);
    let moved = m.last.clone();
    let mean = m.then("ReduceMean", &[&axes], vec![int("keepdims", 1)]);
    let most = m.node("ReduceMax", &[&moved, &axes], vec![int("keepdims", 1)]);
    m.node("Concat", &[&moved, &mean, &most], vec![int("axis", 0)]);
    m.finish(&[3, 5, 13])
}
