"""Operators of com.microsoft that are written into files, with random attributes and shapes; more kinds for `node_kinds.py`."""
import numpy as np
from onnx import helper

from random_nodes import Case

CONTRIB = "com.microsoft"


def contrib(op, operands, results=1, meaning=None, **attributes):
    case = Case(op, 1, operands, results, CONTRIB, **attributes)
    if meaning:
        # QLinearSoftmax: the opset of Softmax that it means.
        case.nodes[0].attribute.append(helper.make_attribute("opset", meaning))
    return case


def signed(nodes):
    return nodes.one([np.uint8, np.int8])


def scale_and_zero(nodes, kind):
    zero = nodes.constant(nodes.int(90, 140) - (128 if kind == np.int8 else 0), kind)
    return [nodes.constant(nodes.one([0.02, 0.05, 0.013]), np.float32), zero]


def quantised(nodes, kind, shape):
    low = -128 if kind == np.int8 else 0
    return [nodes.input(nodes.ints(low, low + 256, shape, kind)), *scale_and_zero(nodes, kind)]


def q_binary(nodes):
    kind, shape = signed(nodes), nodes.extents(3, 1, 5)
    other = [n if nodes.chance(0.7) else 1 for n in shape]
    operands = quantised(nodes, kind, shape) + quantised(nodes, kind, other) + scale_and_zero(nodes, kind)
    return contrib(nodes.one(["QLinearAdd", "QLinearMul"]), operands)


def q_unary(nodes):
    op, attributes = nodes.one([
        ("QLinearSigmoid", {}), ("QLinearLeakyRelu", {"alpha": 0.2}), ("QLinearLeakyRelu", {}),
        ("QLinearGlobalAveragePool", {"channels_last": 0}), ("QLinearSoftmax", {"axis": nodes.one([1, 2]), "meaning": nodes.one([11, 13])}),
        ("QLinearAveragePool", {"kernel_shape": [2, 3], "strides": [1, 2], "pads": [0, 1, 1, 0], "count_include_pad": nodes.int(0, 1)}),
    ])
    kind = signed(nodes)
    result = scale_and_zero(nodes, kind)
    if op == "QLinearSoftmax":
        result = [nodes.constant(1 / 256, np.float32), nodes.constant(-128 if kind == np.int8 else 0, kind)]
    return contrib(op, quantised(nodes, kind, (2, 3, 5, 4)) + result, **attributes)


def q_concat(nodes):
    kind, shape, axis = signed(nodes), nodes.extents(3, 1, 4), nodes.int(-3, 2)
    operands = scale_and_zero(nodes, kind)
    for _ in range(nodes.int(1, 3)):
        shape[axis] = nodes.int(1, 4)
        operands += quantised(nodes, kind, shape)
    return contrib("QLinearConcat", operands, axis=axis)


def q_where(nodes):
    kind, shape = signed(nodes), nodes.extents(2, 1, 5)
    condition = [nodes.input(nodes.ints(0, 2, shape, bool))]
    return contrib("QLinearWhere", condition + quantised(nodes, kind, shape) + quantised(nodes, kind, shape) + scale_and_zero(nodes, kind))


def q_gemm(nodes):
    kind, (rows, inner, columns) = signed(nodes), nodes.extents(3, 1, 9)
    turned, alpha, by_column = nodes.int(0, 1), nodes.one([1.0, 0.5]), nodes.chance(0.5)
    weight = nodes.ints(-99, 99, (columns, inner) if turned else (inner, columns), np.int8)
    scale = nodes.positive(columns) * np.float32(0.02) if by_column else np.array(0.02, np.float32)
    zero = np.zeros(columns, np.int8) if by_column else np.array(3, np.int8)
    bias = nodes.constant(nodes.ints(-999, 999, columns, np.int32)) if nodes.chance(0.5) else None
    result = scale_and_zero(nodes, kind) if nodes.chance(0.7) else []
    operands = quantised(nodes, kind, (rows, inner)) + [nodes.constant(weight), nodes.constant(scale), nodes.constant(zero), bias]
    return contrib("QGemm", operands + result, transB=turned, alpha=alpha)


def fused(nodes):
    x, row = nodes.input(nodes.floats(2, 3, 8)), nodes.constant(nodes.floats(8))
    op = nodes.one(["Gelu", "BiasGelu", "FastGelu", "QuickGelu", "FusedMatMul", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization"])
    if op == "BiasGelu":
        return contrib(op, [x, row])
    if op == "FastGelu":
        return contrib(op, [x, row] if nodes.chance(0.5) else [x])
    if op == "FusedMatMul":
        (turn_a, turn_b), alpha = (nodes.int(0, 1), nodes.int(0, 1)), nodes.one([1.0, 0.3])
        inner = 3 if turn_a else 8
        other = nodes.input(nodes.floats(2, *((4, inner) if turn_b else (inner, 4))))
        return contrib(op, [x, other], transA=turn_a, transB=turn_b, alpha=alpha)
    if op.startswith("Skip"):
        rows = [nodes.constant(nodes.floats(8)) for _ in range(3 if op == "SkipLayerNormalization" else 2)]
        attributes = {"epsilon": 1e-5} if nodes.chance(0.5) else {}
        return contrib(op, [x, nodes.input(nodes.floats(2, 3, 8)), *rows[: nodes.int(1, len(rows))]], **attributes)
    return contrib(op, [x], **({"alpha": 1.2} if op == "QuickGelu" and nodes.chance(0.5) else {}))


def conversion(nodes):
    kind, along = signed(nodes), nodes.chance(0.5)
    low, shape = -128 if kind == np.int8 else 0, [3] if along else []
    scale, zero = nodes.constant(nodes.positive(*shape) * 0.05, np.float32), nodes.constant(nodes.ints(low, low + 256, shape, kind), kind)
    attributes = {"axis": 1} if along else {}
    if nodes.chance(0.5):
        return contrib("QuantizeLinear", [nodes.input(nodes.floats(2, 3, 4)), scale, zero], **attributes)
    return contrib("DequantizeLinear", [nodes.input(nodes.ints(low, low + 256, (2, 3, 4), kind)), scale, zero], **attributes)


def attention(nodes):
    heads, size = nodes.int(1, 3), nodes.one([4, 8])
    batch, new, before, inner = nodes.int(1, 3), nodes.int(1, 5), nodes.one([0, 0, 3]), nodes.int(3, 9)
    total, own = before + new, {"num_heads": heads, "unidirectional": nodes.int(0, 1)}
    attributes = own | nodes.one([{}, {"scale": 0.5}, {"mask_filter_value": -50.0}])
    mask = nodes.one([None, (batch,), (batch, total), (batch, new, total)])
    if mask is not None:
        ones = nodes.ints(1, total + 1, mask, np.int32) if len(mask) == 1 else nodes.ints(0, 2, mask, np.int32)
        if len(mask) > 1:
            ones[..., 0] = 1
        mask = nodes.input(ones)
    weights = [nodes.constant(nodes.floats(inner, 3 * heads * size)), nodes.constant(nodes.floats(3 * heads * size))]
    operands = [nodes.input(nodes.floats(batch, new, inner)), *weights, mask]
    operands.append(nodes.input(nodes.floats(2, batch, heads, before, size)) if before else None)
    return contrib("Attention", operands, results=2 if before else 1, **attributes)


def fused_product(nodes):
    name, numbers = nodes.one([("Relu", []), ("Tanh", []), ("Sigmoid", []), ("LeakyRelu", [0.3]), ("HardSigmoid", [0.25, 0.4]), ("Clip", [-0.5, 0.75])])
    if nodes.chance(0.6):
        bias = nodes.constant(nodes.floats(4)) if nodes.chance(0.5) else None
        addend = nodes.input(nodes.floats(2, 4, 4, 3)) if nodes.chance(0.5) else None
        operands = [nodes.input(nodes.floats(2, 3, 6, 5)), nodes.constant(nodes.floats(4, 3, 3, 3)), bias, addend]
        return contrib("FusedConv", operands, activation=name, **({"activation_params": numbers} if numbers else {}))
    attributes = dict(zip(["activation_alpha", "activation_beta"], numbers)) | {"transB": nodes.int(0, 1), "alpha": 0.5}
    weight = nodes.floats(6, 4) if attributes["transB"] else nodes.floats(4, 6)
    operands = [nodes.input(nodes.floats(3, 4)), nodes.constant(weight), nodes.constant(nodes.floats(6))]
    return contrib("FusedGemm", operands, activation=name, **attributes)


def embedding(nodes):
    words, width = nodes.extents(2, 1, 5), nodes.int(3, 9)
    tables = [nodes.constant(nodes.floats(rows, width)) for rows in (7, 8)]
    operands = [nodes.input(nodes.ints(0, 7, words, np.int32)), None, *tables, None]
    if nodes.chance(0.5):
        operands[1], operands[4] = nodes.input(nodes.ints(0, 2, words, np.int32)), nodes.constant(nodes.floats(2, width))
    operands += [nodes.constant(nodes.floats(width)), nodes.constant(nodes.floats(width))]
    operands += [nodes.input(nodes.ints(0, 2, words, np.int32))] if nodes.chance(0.5) else [None]
    operands += [nodes.input(nodes.ints(0, 8, words, np.int32))] if nodes.chance(0.4) else []
    return contrib("EmbedLayerNormalization", operands, results=nodes.one([2, 3]), epsilon=nodes.one([1e-12, 1e-3]))


def simplified_norm(nodes):
    operands = [nodes.input(nodes.floats(2, 3, 8)), nodes.constant(nodes.floats(8))]
    return Case("SimplifiedLayerNormalization", 17, operands, axis=-1, epsilon=1e-6, stash_type=1)


def few_bits(nodes):
    inner, columns, bits = nodes.one([32, 40, 96]), nodes.int(1, 9), nodes.one([4, 4, 8])
    blocks = -(-inner // 32)
    weight = nodes.ints(0, 256, (columns, blocks, 32 * bits // 8), np.uint8)
    operands = [nodes.input(nodes.floats(2, 3, inner)), nodes.constant(weight), nodes.constant(nodes.positive(columns * blocks) * np.float32(0.1))]
    if nodes.chance(0.5):
        operands.append(nodes.constant(nodes.ints(0, 256, columns * -(-blocks * bits // 8), np.uint8)))
    return contrib("MatMulNBits", operands, K=inner, N=columns, bits=bits, block_size=32)


KINDS = [q_binary, q_unary, q_concat, q_where, q_gemm, conversion, fused_product, attention, embedding, simplified_norm, fused, few_bits]
