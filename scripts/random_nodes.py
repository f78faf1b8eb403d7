"""Models of one node each, for `random_graphs.py --single-nodes COUNT`; `node_kinds.py` draws them.

Each operand is a run-time input or a constant, and some extents of the inputs are symbolic. Cases that onnxruntime refuses are
left out; `EXPLAINED` lists those whose results may differ from its own.
"""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Case:
    """A model in the making: nodes, operands `i0`, `i1`, ... (array and whether it is constant, or none) and results `o0`, ..."""

    def __init__(self, op, opset, operands, results=1, domain="", **attributes):
        self.op, self.opset, self.attributes = op, opset, attributes
        self.operands = [None if o is None else (np.asarray(o[0]), o[1]) for o in operands]
        while self.operands and self.operands[-1] is None:
            self.operands.pop()
        self.results = [f"o{i}" for i in range(results)]
        # Operators of other domains come with old versions of their own.
        self.opsets = [helper.make_opsetid("", 18 if domain else opset)]
        if domain:
            self.opsets.append(helper.make_opsetid(domain, opset))
        names = ["" if o is None else f"i{i}" for i, o in enumerate(self.operands)]
        self.nodes = [helper.make_node(op, names, self.results, name=op, domain=domain, **attributes)]

    def then(self, op, operand, result, domain, **attributes):
        """One more node after the first."""
        self.nodes.append(helper.make_node(op, [operand], [result], name=op, domain=domain, **attributes))
        self.results = [name for name in self.results if name != operand] + [result]
        return self

    def feeds(self):
        return {f"i{i}": o[0] for i, o in enumerate(self.operands) if o and not o[1]}

    def model(self, pick, outputs=None):
        """The model; with some symbolic extents where the random source says so."""
        symbolic = pick.random() < 0.4
        inputs, constants = [], []
        for i, operand in enumerate(self.operands):
            if operand is None:
                continue
            array, constant = operand
            if constant:
                constants.append(tensor(array, f"i{i}"))
                continue
            extents = [f"d{i}_{k}" if symbolic and pick.random() < 0.6 else d for k, d in enumerate(array.shape)]
            inputs.append(helper.make_tensor_value_info(f"i{i}", helper.np_dtype_to_tensor_dtype(array.dtype), extents))
        outputs = outputs or [onnx.ValueInfoProto(name=name) for name in self.results]
        graph = helper.make_graph(self.nodes, "node", inputs, outputs, constants)
        return helper.make_model(graph, opset_imports=self.opsets, ir_version=10)


def tensor(array, name):
    return numpy_helper.from_array(np.ascontiguousarray(array) if array.ndim else array, name)


def backwards(case):
    """Whether Resize has an axis that counts from the end."""
    return any(axis < 0 for axis in case.attributes.get("axes", []))


def coordinates(case):
    return case.attributes["coordinate_transformation_mode"]


# Operator, which of its cases, and why results differ there. Such cases run, and only a crash counts.
EXPLAINED = [
    ("ConvTranspose", lambda c: c.attributes.get("auto_pad", "").startswith("SAME"),
     "onnxruntime makes the result smaller than input * stride, which the specification asks for, where the kernel is "
     "shorter than the stride"),
    ("Resize", lambda c: backwards(c) and "keep_aspect_ratio_policy" in c.attributes,
     "onnxruntime forgets the policy for an axis that counts from the end"),
    ("Resize", lambda c: coordinates(c) == "tf_crop_and_resize" and c.attributes["mode"] != "nearest",
     "onnxruntime finds other pixels than the reference in the package onnx, which agrees with Brolga"),
    ("Resize", lambda c: coordinates(c) == "align_corners" and len(c.operands) == 3,
     "where the scale makes a fraction of a pixel, the reference in the package onnx goes by the fraction, onnxruntime by whole pixels"),
    ("Attention", lambda c: len(c.operands) == 4 and c.operands[3][0].dtype == bool or "is_causal" in c.attributes,
     "a query that may attend to nothing is NaN by the specification's softmax, zero in onnxruntime"),
    ("MaxUnpool", lambda c: len(c.operands) > 2,
     "onnxruntime counts the indices in output_shape, the specification's test in the extents that unpooling gives by itself"),
    ("TreeEnsembleClassifier", lambda c: len({*c.attributes["class_ids"]}) == 2,
     "of two classes that both have votes onnxruntime may name the one with the smaller score in its own map, or 1, which need not "
     "be a class"),
]
WINDOWS = ["Conv", "QLinearConv", "MaxPool", "AveragePool", "LpPool"]
EXPLAINED += [
    (op, lambda c: c.attributes.get("auto_pad", "").startswith("SAME") and max(c.attributes.get("strides", [1])) > 1,
     "where the stride is longer than the window the padding is negative; onnxruntime takes an odd one from the other end than the "
     "reference in the package onnx")
    for op in WINDOWS
]

QLINEAR = ["QLinearAdd", "QLinearMul", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearGlobalAveragePool", "QLinearAveragePool",
           "QLinearSoftmax", "QLinearConcat", "QLinearWhere", "QGemm"]
# Operators whose results round numbers that may lie halfway between two integers, and why they do so otherwise. Results may be one
# apart, and no more.
ONE_APART = {
    "QLinearConv": "onnxruntime multiplies the scales in f32 before it rounds",
    **{op: "onnxruntime takes results from a table, or sums integers and multiplies the scales in f32 before it rounds" for op in QLINEAR},
    "DynamicQuantizeLinear": "the range divided by 255, and with it the scale, may be rounded otherwise",
}


def explanation(case):
    """Why a case may differ, or none."""
    return next((why for op, fits, why in EXPLAINED if op == case.op and fits(case)), None)


def one_apart(case):
    """Whether a case may differ for no other reason than rounding."""
    return case.op in ONE_APART and explanation(case) is None


def proto(value, name):
    """A result of onnxruntime in ONNX's test format: an array, or a list of dictionaries."""
    if not isinstance(value, list):
        return tensor(np.asarray(value), name)
    maps = onnx.SequenceProto(name=name, elem_type=onnx.SequenceProto.MAP)
    for row in value:
        keys, values = list(row), np.array(list(row.values()), np.float32)
        texts = any(isinstance(key, str) for key in keys)
        one = maps.map_values.add(key_type=TensorProto.STRING if texts else TensorProto.INT64)
        one.string_keys.extend(key.encode() for key in keys if texts)
        one.keys.extend(key for key in keys if not texts)
        one.values.elem_type = onnx.SequenceProto.TENSOR
        one.values.tensor_values.extend(tensor(element, "") for element in values[:, None])
    return maps


def port(value, name):
    """A result as an output of the model, for the suite to know its kind."""
    if not isinstance(value, list):
        value = np.asarray(value)
        kind = TensorProto.STRING if value.dtype == object else helper.np_dtype_to_tensor_dtype(value.dtype)
        return helper.make_tensor_value_info(name, kind, [None] * value.ndim)
    texts = value and isinstance(next(iter(value[0])), str)
    number = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    row = helper.make_map_type_proto(TensorProto.STRING if texts else TensorProto.INT64, number)
    return helper.make_value_info(name, helper.make_sequence_type_proto(row))
