"""Operators with random attributes and shapes, for `random_nodes.py`."""
import random

import numpy as np
from onnx import TensorProto

import contrib_kinds
from random_nodes import Case, tensor

ML = "ai.onnx.ml"


class Nodes:
    """Draws cases, one operator after the other, each of them as often."""

    def __init__(self, seed):
        self.pick, self.numbers = random.Random(seed), np.random.RandomState(seed)
        self.chance = lambda share: self.pick.random() < share
        self.int, self.one = self.pick.randint, self.pick.choice

    def draw(self, number):
        return KINDS[number % len(KINDS)](self)

    # Operands.

    def floats(self, *shape):
        return self.numbers.uniform(-2, 2, shape).astype(np.float32)

    def positive(self, *shape):
        return self.numbers.uniform(0.2, 2, shape).astype(np.float32)

    def ints(self, low, high, shape, dtype=np.int64):
        return np.array(self.numbers.randint(low, high, shape)).astype(dtype)

    def extents(self, rank, low, high):
        return [self.int(low, high) for _ in range(rank)]

    def input(self, array):
        return array, False

    def constant(self, array, dtype=np.int64):
        return (array if isinstance(array, np.ndarray) else np.array(array, dtype)), True

    def either(self, array, dtype=np.int64):
        return self.constant(array, dtype)[0], self.chance(0.5)

    def axis(self, rank):
        return self.int(-rank, rank - 1)

    def some_axes(self, rank, least=1):
        chosen = self.pick.sample(range(rank), self.int(least, rank))
        return chosen, [a - rank if self.chance(0.4) else a for a in chosen]

    # Windows.

    def window(self, rank, pooled=False):
        kernel, dilations = self.extents(rank, 1, 3), self.extents(rank, 1, 2)
        how = self.one(["NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
        attributes = {}
        if how != "NOTSET":
            attributes["auto_pad"] = how
        else:
            most = [k - 1 if pooled else (k - 1) * d for k, d in zip(kernel, dilations)]
            attributes["pads"] = [self.int(0, m) for m in most * 2]
        if how.startswith("SAME"):
            dilations = [1] * rank
        if self.chance(0.7):
            attributes["strides"] = self.extents(rank, 1, 3)
        if self.chance(0.5) or how.startswith("SAME"):
            attributes["dilations"] = dilations
        return kernel, attributes

    def convolution(self):
        rank, group = self.one([1, 2, 2, 2, 3]), self.one([1, 1, 2, 3])
        kernel, attributes = self.window(rank)
        channels, out = group * self.int(1, 3), group * self.int(1, 3)
        operands = [self.input(self.floats(self.int(1, 2), channels, *self.extents(rank, 6, 9))),
                    self.either(self.floats(out, channels // group, *kernel)),
                    self.constant(self.floats(out)) if self.chance(0.5) else None]
        if self.chance(0.5):
            attributes["kernel_shape"] = kernel
        return Case("Conv", self.one([11, 22]), operands, group=group, **attributes)

    def wide_convolution(self):
        """Planes and channels for which fewer products than the definition's are known."""
        channels, out = self.one([16, 32, 48]), self.one([32, 64, 96])
        operands = [self.input(self.floats(self.int(1, 2), channels, *self.extents(2, 36, 60))),
                    self.constant(self.floats(out, channels, 3, 3) / np.float32(channels)),
                    self.constant(self.floats(out)) if self.chance(0.5) else None]
        return Case("Conv", self.one([11, 22]), operands, pads=[self.int(0, 2) for _ in range(4)])

    def transposed(self):
        rank, group = self.one([1, 2, 2, 3]), self.one([1, 1, 2])
        kernel, attributes = self.window(rank)
        channels, out = group * self.int(1, 3), self.int(1, 3)
        x = self.floats(self.int(1, 2), channels, *self.extents(rank, 3, 5))
        strides = attributes.get("strides", [1] * rank)
        if self.chance(0.4):
            attributes["output_padding"] = [self.int(0, stride - 1) for stride in strides]
        if self.chance(0.3):
            attributes["output_shape"] = [d * stride + self.int(0, 1) for d, stride in zip(x.shape[2:], strides)]
            attributes.pop("pads", None)
        operands = [self.input(x), self.either(self.floats(channels, out, *kernel)),
                    self.constant(self.floats(out * group)) if self.chance(0.5) else None]
        return Case("ConvTranspose", 11, operands, group=group, **attributes)

    def quantised_convolution(self):
        group, signed, by_channel = self.one([1, 2]), self.chance(0.5), self.chance(0.5)
        kernel, attributes = self.window(2)
        channels, out = 2 * group, 3 * group
        kind = np.int8 if signed else np.uint8
        zeros = np.zeros(out, kind) if by_channel else np.array(self.one([0, 5]), kind)
        scales = self.positive(out) * np.float32(0.02) if by_channel else np.array(0.02, np.float32)
        operands = [self.input(self.ints(0, 255, (1, channels, 7, 6), np.uint8)), self.constant(0.02, np.float32),
                    self.constant(120, np.uint8),
                    self.constant(self.ints(-100 if signed else 0, 100, (out, channels // group, *kernel), kind)),
                    self.constant(scales), self.constant(zeros), self.constant(0.1, np.float32), self.constant(100, np.uint8),
                    self.constant(self.ints(-99, 99, out, np.int32)) if self.chance(0.5) else None]
        return Case("QLinearConv", 10, operands, group=group, **attributes)

    def pooling(self):
        rank, op = self.one([1, 2, 2, 2, 3]), self.one(["MaxPool", "AveragePool", "LpPool"])
        kernel, attributes = self.window(rank, pooled=True)
        x, results = self.floats(self.int(1, 2), self.int(1, 5), *self.extents(rank, 6, 9)), 1
        if "auto_pad" not in attributes and self.chance(0.5):
            attributes["ceil_mode"] = 1
        if op == "MaxPool" and self.chance(0.4):
            results, attributes["storage_order"] = 2, self.one([0, 0, 1])
        if op == "AveragePool":
            attributes["count_include_pad"] = self.int(0, 1)
        if op == "LpPool":
            attributes["p"] = self.int(1, 3)
        opset = self.one({"MaxPool": [12, 22], "AveragePool": [19, 22], "LpPool": [18, 22]}[op])
        return Case(op, opset, [self.input(x)], results, kernel_shape=kernel, **attributes)

    def unpooling(self):
        shape = [self.int(1, 2), self.int(1, 3), 2 * self.int(1, 4), 2 * self.int(1, 4)]
        pooled = shape[:2] + [d // 2 for d in shape[2:]]
        places = self.numbers.permutation(int(np.prod(shape)))[: int(np.prod(pooled))].reshape(pooled).astype(np.int64)
        larger = [d + self.int(0, 2) for d in shape]
        operands = [self.input(self.floats(*pooled)), self.input(places),
                    self.constant(shape[:2] + larger[2:]) if self.chance(0.5) else None]
        return Case("MaxUnpool", self.one([11, 22]), operands, kernel_shape=[2, 2], strides=[2, 2])

    def whole(self):
        op = self.one(["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
        return Case(op, self.one([2, 22]), [self.input(self.floats(2, 3, *self.extents(self.int(1, 3), 1, 5)))])

    def resize(self):
        mode = self.one(["nearest", "linear", "cubic"])
        rank = 4 if mode == "cubic" else self.one([3, 4, 4, 5])
        x, spatial = self.floats(1, self.int(1, 3), *self.extents(rank - 2, 2, 8)), rank - 2
        how = self.one(["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
                        "tf_crop_and_resize"])
        attributes = {"mode": mode, "coordinate_transformation_mode": how}
        if mode == "nearest":
            attributes["nearest_mode"] = self.one(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
        if mode == "cubic":
            attributes.update(cubic_coeff_a=self.one([-0.5, -0.75]), exclude_outside=self.int(0, 1))
        if mode == "linear" and self.chance(0.3):
            attributes["exclude_outside"] = 1
        if mode != "nearest" and how != "tf_crop_and_resize" and self.chance(0.3):
            attributes["antialias"] = 1
        some = self.chance(0.5)
        if some:
            attributes["axes"] = [a - rank if self.chance(0.3) else a for a in range(2, rank)]
        before = lambda value: [] if some else [value] * 2
        region = None
        if how == "tf_crop_and_resize":
            starts = [self.pick.uniform(-0.2, 0.4) for _ in range(spatial)]
            ends = [self.pick.uniform(0.5, 1.3) for _ in range(spatial)]
            region = self.constant(before(0.0) + starts + before(1.0) + ends, np.float32)
            attributes["extrapolation_value"] = 5.0
        if self.chance(0.5):
            scales = before(1.0) + [self.one([0.5, 0.6, 1.5, 2.0, 2.3, 0.34, 3.0]) for _ in range(spatial)]
            return Case("Resize", 19, [self.input(x), region, self.constant(scales, np.float32)], **attributes)
        extents = self.extents(spatial, 1, 12)
        if how == "tf_crop_and_resize":
            # onnxruntime does not crop where the extent stays.
            extents = [d + (d == n) for d, n in zip(extents, x.shape[2:])]
        sizes = ([] if some else list(x.shape[:2])) + extents
        if some and how != "tf_crop_and_resize" and self.chance(0.4):
            attributes["keep_aspect_ratio_policy"] = self.one(["not_larger", "not_smaller"])
        return Case("Resize", 19, [self.input(x), region, None, self.constant(sizes)], **attributes)

    # Movement of elements.

    def pad(self):
        rank = self.int(1, 4)
        x, mode = self.floats(*self.extents(rank, 2, 5)), self.one(["constant", "reflect", "edge", "wrap"])
        axes = sorted(self.pick.sample(range(rank), self.int(1, rank))) if self.chance(0.4) else list(range(rank))
        given = [a - rank if self.chance(0.5) else a for a in axes] if len(axes) < rank else None
        before, after = ([self.int(-1, x.shape[a] - 1) for a in axes] for _ in range(2))
        for i, a in enumerate(axes):
            # At least two elements are left to take others from.
            if x.shape[a] + min(before[i], 0) + min(after[i], 0) < 2:
                before[i], after[i] = max(before[i], 0), max(after[i], 0)
        value = self.constant(self.one([0.0, 3.5]), np.float32) if mode == "constant" and self.chance(0.6) else None
        operands = [self.input(x), self.either(before + after), value, given and self.constant(given)]
        return Case("Pad", self.one([19, 21]), operands, mode=mode)

    def slice(self):
        rank = self.int(1, 4)
        x, (chosen, axes) = self.floats(*self.extents(rank, 2, 6)), self.some_axes(rank)
        starts = [self.one([0, 1, -1, -2, -100, 100, 2]) for _ in chosen]
        ends = [self.one([1, 3, -1, -100, 100, 2**62, -2**62, 0]) for _ in chosen]
        steps = [self.one([1, 2, -1, -2, 3]) for _ in chosen]
        constant = self.chance(0.5)
        bounds = [(np.array(bound), constant) for bound in (starts, ends)]
        return Case("Slice", 13, [self.input(x), *bounds, self.constant(axes), self.constant(steps)])

    def gather(self):
        rank = self.int(1, 4)
        x, axis = self.floats(*self.extents(rank, 2, 5)), self.axis(rank)
        extent, kind = x.shape[axis], self.one([np.int64, np.int32])
        index = self.either(self.ints(-extent, extent, self.extents(self.int(0, 2), 1, 3), kind))
        return Case("Gather", 13, [(x, self.chance(0.3) and not index[1]), index], axis=axis)

    def gather_elements(self):
        rank = self.int(1, 3)
        x, axis = self.floats(*self.extents(rank, 2, 5)), self.axis(rank)
        index = self.ints(-x.shape[axis], x.shape[axis], [self.int(1, d) for d in x.shape])
        return Case("GatherElements", 13, [self.input(x), self.either(index)], axis=axis)

    def gather_nd(self):
        batch, x = self.one([0, 0, 1]), self.floats(2, 3, 4, 2)
        depth = self.int(1, 3 - batch)
        shape = [2] * batch + [self.int(1, 3)]
        index = np.stack([self.ints(-d, d, shape) for d in x.shape[batch:batch + depth]], -1)
        return Case("GatherND", 13, [self.input(x), self.input(index)], batch_dims=batch)

    def scatter_elements(self):
        rank = self.int(1, 3)
        x, axis = self.floats(*self.extents(rank, 2, 5)), self.axis(rank)
        how, shape = self.one(["none", "add", "mul", "max", "min"]), [self.int(1, d) for d in x.shape]
        if how == "none":
            # Without a reduction no place is written twice.
            index = np.argsort(self.numbers.rand(*x.shape), axis=axis)[tuple(slice(0, d) for d in shape)]
            index = index - np.where(self.numbers.rand(*index.shape) < 0.3, x.shape[axis], 0)
        else:
            index = self.ints(-x.shape[axis], x.shape[axis], shape)
        operands = [self.input(x), self.input(index), self.input(self.floats(*shape))]
        return Case("ScatterElements", 18, operands, axis=axis, reduction=how)

    def scatter_nd(self):
        x, depth, how, count = self.floats(4, 3, 2), self.int(1, 3), self.one(["none", "add", "mul", "max", "min"]), self.int(1, 3)
        if how == "none":
            index = np.stack([self.numbers.permutation(d)[: min(count, 2)] for d in x.shape[:depth]], -1)
        else:
            index = np.stack([self.ints(-d, d, count) for d in x.shape[:depth]], -1)
        updates = self.floats(index.shape[0], *x.shape[depth:])
        return Case("ScatterND", 18, [self.input(x), self.input(index), self.input(updates)], reduction=how)

    def split(self):
        x, axis = self.input(self.floats(3, 7, 4)), self.one([1, -2])
        if self.chance(0.5):
            count = self.one([2, 3, 4, 7])
            return Case("Split", 18, [x], count, axis=axis, num_outputs=count)
        sizes = self.one([[2, 5], [0, 3, 4], [7], [1, 1, 5]])
        return Case("Split", 13, [x, self.constant(sizes)], len(sizes), axis=axis)

    def reshape(self):
        if self.chance(0.3):
            shape = self.either(self.one([[3, 4, 0], [0, 12], [2, 0]]))
            return Case("Reshape", 14, [self.input(self.floats(0, 3, 4)), shape], allowzero=1)
        shape = self.one([[0, -1], [-1, 0, 2], [4, 3, 2], [0, 0, -1], [1, -1, 1], [-1]])
        return Case("Reshape", 14, [self.input(self.floats(2, 3, 4)), self.either(shape)])

    def stretch(self):
        if self.chance(0.5):
            rank = self.int(1, 3)
            return Case("Tile", 13, [self.input(self.floats(*self.extents(rank, 1, 3))), self.either(self.extents(rank, 0, 3))])
        own, wanted = self.one([((3, 1), (2, 3, 4)), ((3, 1), (1,)), ((1,), (3, 2)), ((2, 1, 3), (1, 4, 1)), ((), (2, 3))])
        return Case("Expand", 13, [self.input(self.floats(*own)), self.either(list(wanted))])

    def concat(self):
        rank = self.int(1, 4)
        shape, axis = self.extents(rank, 1, 4), self.axis(rank)
        operands = []
        for _ in range(self.int(1, 4)):
            shape[axis] = self.int(0, 4)
            operands.append((self.floats(*shape), bool(operands) and self.chance(0.3)))
        return Case("Concat", 13, operands, axis=axis)

    def transpose(self):
        rank = self.int(1, 5)
        shape = self.extents(rank, 1, 4)
        x = self.floats(*shape) if self.chance(0.5) else self.ints(0, 9, shape, np.int8)
        order = {"perm": self.pick.sample(range(rank), rank)} if self.chance(0.8) else {}
        return Case("Transpose", 13, [self.input(x)], **order)

    def squeeze(self):
        if self.chance(0.5):
            axes = self.one([None, [0], [-1, 2], [4, 0, 2]])
            return Case("Squeeze", 13, [self.input(self.floats(1, 3, 1, 2, 1)), axes and self.constant(axes)])
        axes = self.one([[0], [-1], [0, 3], [2, 0], [-1, -3], [1, 2, 3]])
        return Case("Unsqueeze", 13, [self.input(self.floats(2, 3)), self.constant(axes)])

    def movement(self):
        return self.one([
            lambda: Case("DepthToSpace", 13, [self.input(self.floats(1, 8, 2, 3))], blocksize=2, mode=self.one(["DCR", "CRD"])),
            lambda: Case("SpaceToDepth", 13, [self.input(self.floats(1, 2, 4, 6))], blocksize=2),
            lambda: Case("Trilu", 14, [self.input(self.floats(2, 3, 4)), self.constant(self.int(-3, 4))], upper=self.int(0, 1)),
            lambda: Case("EyeLike", 9, [self.input(self.floats(3, 4))], k=self.int(-2, 3)),
            lambda: Case("Flatten", 13, [self.input(self.floats(2, 3, 4))], axis=self.int(-3, 3)),
            lambda: Case("ReverseSequence", 10, [self.input(self.floats(4, 3, 2)), self.input(np.array([1, 4, 2]))],
                         time_axis=0, batch_axis=1),
            lambda: Case("CenterCropPad", 18, [self.input(self.floats(5, 4, 3)), self.constant([3, 6, 3])]),
            lambda: Case("Col2Im", 18, [self.input(self.floats(1, 8, 9)), self.constant([4, 4]), self.constant([2, 2])]),
            lambda: Case("Shape", 15, [self.input(self.floats(2, 3, 4, 5))],
                         **self.one([{}, {"start": 1}, {"start": -2}, {"end": -1}, {"start": 1, "end": 3}])),
        ])()

    def selection(self):
        few = lambda *shape: self.input(self.ints(0, 4, shape).astype(np.float32))
        return self.one([
            lambda: Case("OneHot", 11, [self.input(self.ints(-5, 6, (2, 3))), self.constant(4), self.constant([1.0, 3.0], np.float32)],
                         axis=self.one([-1, 0, 1])),
            lambda: Case("NonZero", 13, [few(3, 4)]),
            lambda: Case("Unique", 11, [few(4, 3)], 4, sorted=1, **self.one([{}, {"axis": 0}, {"axis": -1}])),
            lambda: Case("Compress", 11, [self.input(self.floats(3, 4)), self.input(np.array([True, False, True]))],
                         **self.one([{"axis": 0}, {"axis": -1}, {}])),
            lambda: Case("Range", 11, [self.constant(self.one([1, 5])), self.constant(self.one([9, -3])),
                                       self.input(np.array(self.one([2, -2, 3])))]),
            lambda: Case("ConstantOfShape", 9, [self.input(np.array([2, 3]))], value=tensor(np.array([2]), "")),
        ])()

    # Regions.

    def suppression(self):
        count, centred = self.int(3, 9), self.int(0, 1)
        boxes = self.numbers.rand(2, count, 4).astype(np.float32) * 10
        if centred:
            boxes[..., 2:] = boxes[..., 2:] / 2 + 0.5
        limits = [self.constant([self.int(0, 4)]), self.constant([self.one([0.1, 0.5])], np.float32),
                  self.constant([self.one([0.0, 0.3])], np.float32)]
        scores = self.input(self.numbers.rand(2, 3, count).astype(np.float32))
        return Case("NonMaxSuppression", 11, [self.input(boxes), scores, *limits[: self.int(0, 3)]], center_point_box=centred)

    def regions(self):
        count, opset = self.int(1, 3), self.one([10, 16, 22])
        boxes = self.numbers.rand(count, 4).astype(np.float32) * 4
        boxes[:, 2:] += boxes[:, :2]
        attributes = {"output_height": self.int(1, 4), "output_width": self.int(1, 4), "sampling_ratio": self.int(0, 3),
                      "spatial_scale": self.one([1.0, 0.5])}
        if opset >= 16:
            attributes["coordinate_transformation_mode"] = self.one(["half_pixel", "output_half_pixel"])
        images = self.input(self.ints(0, 2, count))
        return Case("RoiAlign", opset, [self.either(self.floats(2, self.one([2, 17]), 7, 8)), self.input(boxes), images], **attributes)

    def sampling(self):
        rank, batch = self.one([2, 2, 3]), self.int(1, 2)
        mode = self.one(["linear", "nearest", "cubic"] if rank == 2 else ["linear", "nearest"])
        grid = (self.numbers.rand(batch, *self.extents(rank, 1, 9), rank) * 3 - 1.5).astype(np.float32)
        operands = [self.either(self.floats(batch, self.int(1, 20), *self.extents(rank, 2, 6))), self.either(grid)]
        return Case("GridSample", 20, operands, mode=mode, padding_mode=self.one(["zeros", "border", "reflection"]),
                    align_corners=self.int(0, 1))

    def deformation(self):
        group, moved = self.one([(1, 1), (1, 1), (2, 1), (1, 2), (2, 4), (4, 2), (2, 2)])
        channels, out = max(group, moved) * self.one([1, 3, 4, 8, 16]), group * self.int(1, 3)
        kernel, strides, dilations = (self.extents(2, 1, most) for most in (3, 2, 2))
        pads, image = self.extents(4, 0, 2), self.extents(2, 6, 9)
        places = [(n + pads[d] + pads[d + 2] - (kernel[d] - 1) * dilations[d] - 1) // strides[d] + 1 for d, n in enumerate(image)]
        of = lambda many: (batch, many * moved * kernel[0] * kernel[1], *places)
        batch, bias, masked = self.int(1, 2), self.chance(0.5), self.chance(0.5)
        operands = [self.either(self.floats(batch, channels, *image)), self.either(self.floats(out, channels // group, *kernel)),
                    self.either(self.floats(*of(2))), self.either(self.floats(out)) if bias else None]
        operands += [self.input(self.floats(*of(1)))] if masked else []
        return Case("DeformConv", self.one([19, 22]), operands, group=group, offset_group=moved, pads=pads, strides=strides,
                    dilations=dilations, **({"kernel_shape": kernel} if self.chance(0.5) else {}))

    # Elements, one by one.

    def unary(self):
        op, attributes, opset = self.one([
            ("Elu", {"alpha": 0.7}, 6), ("Celu", {"alpha": 0.5}, 12), ("Selu", {}, 6), ("LeakyRelu", {"alpha": -0.3}, 16),
            ("ThresholdedRelu", {"alpha": 0.4}, 10), ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}, 6),
            ("Shrink", {"lambd": 0.6, "bias": 0.2}, 9), ("Gelu", {"approximate": "tanh"}, 20), ("Gelu", {}, 20), ("Sign", {}, 13),
            ("Round", {}, 11), ("Softplus", {}, 1), ("Softsign", {}, 1), ("Mish", {}, 18), ("HardSwish", {}, 14), ("Erf", {}, 13),
            ("IsNaN", {}, 13), ("IsInf", {"detect_negative": 0}, 10), ("Sqrt", {}, 13), ("Log", {}, 13), ("Tan", {}, 7),
            ("Reciprocal", {}, 13), ("Not", {}, 1), ("Swish", {"alpha": 1.5}, 24), ("BitwiseNot", {}, 18)])
        # 1 + tanh and 1 + erf cancel where x is small: what is left of them is rounding.
        x = self.floats(3, 4) * (1 if op == "Gelu" else 2)
        if op == "IsInf":
            x[0, :2] = [np.inf, -np.inf]
        if op in ("IsNaN", "Round", "Sign"):
            x[0] = [np.nan if op == "IsNaN" else 0, 0.5, 1.5, -0.5]
        if op in ("Sqrt", "Log"):
            x = np.abs(x) + np.float32(0.01)
        if op == "Not":
            x = x > 0
        if op == "BitwiseNot":
            x = x.astype(np.int32)
        return Case(op, opset, [self.input(x)], **attributes)

    def binary(self):
        op = self.one("Add Sub Mul Div Pow PRelu Mod Equal Less Greater LessOrEqual GreaterOrEqual Max Min Mean Sum".split())
        a, b = self.one([((2, 3), (2, 3)), ((3,), (2, 1)), ((2, 1, 3), (4, 1)), ((), (2, 2)), ((2, 2), ()), ((2, 0), (1,))])
        kind = np.float32 if op in ("PRelu", "Mean", "Sum") else self.one([np.float32, np.float32, np.int32, np.int64, np.float64])
        if op == "PRelu":
            a, b = (2, 3, 4), self.one([(3, 1), (4,), (1,), (2, 3, 4)])
        whole = np.issubdtype(kind, np.integer)
        make = lambda shape: np.array(self.numbers.randint(1, 6, shape) if whole else self.numbers.uniform(0.3, 3, shape)).astype(kind)
        x = make(a) - np.float32(1.5) if op == "PRelu" else make(a)
        if op == "Mod" and self.chance(0.5):
            x = np.array(-x)
        opset = {"PRelu": 16, "LessOrEqual": 16, "GreaterOrEqual": 16, "Pow": 15}.get(op, 14 if op in ("Add", "Sub", "Mul", "Div") else 13)
        attributes = {"fmod": 1} if op == "Mod" and not whole else {}
        return Case(op, opset, [self.input(x), self.either(make(b))], **attributes)

    def choose(self):
        c, a, b = self.one([((2, 3), (2, 3), (2, 3)), ((3,), (2, 1), (1,)), ((2, 1, 1), (3, 1), (4,)), ((), (2, 3), ())])
        condition = np.array(self.numbers.rand(*c) < 0.5)
        return Case("Where", 16, [self.input(condition), self.input(self.floats(*a)), self.either(np.asarray(self.floats(*b)))])

    def clip(self):
        kind = self.one([np.float32, np.float32, np.int32, np.int8, np.uint8, np.float64, np.int64])
        x = self.numbers.uniform(0 if kind == np.uint8 else -9, 9, (3, 5)).astype(kind)
        low = self.either(self.one([3, 1]), kind) if self.chance(0.6) else None
        high = self.either(self.one([2, 4]), kind) if self.chance(0.6) else None
        return Case("Clip", 13, [self.input(x), low, high])

    def cast(self):
        source = self.one([np.float32, np.float64, np.int32, np.int64, np.uint8, np.int8, np.bool_, np.float16])
        names = ["FLOAT", "DOUBLE", "INT32", "INT64", "UINT8", "INT8", "BOOL", "FLOAT16", "INT16"]
        x = self.numbers.uniform(0, 100, (3, 7)).astype(source)
        return Case("Cast", 19, [self.input(x)], to=getattr(TensorProto, self.one(names)))

    # Normalisation, reduction, order.

    def softmax(self):
        rank, op = self.int(1, 4), self.one(["Softmax", "LogSoftmax", "Hardmax"])
        return Case(op, self.one([1, 11, 13]), [self.input(self.floats(*self.extents(rank, 1, 5)) * 4)], axis=self.int(0, rank - 1))

    def batch_norm(self):
        channels = self.int(1, 5)
        operands = [self.input(self.floats(2, channels, *self.extents(self.int(0, 3), 2, 4))), self.either(self.floats(channels)),
                    self.constant(self.floats(channels)), self.either(self.floats(channels)), self.constant(self.positive(channels))]
        if self.chance(0.3):
            return Case("BatchNormalization", 15, operands, 3, training_mode=1, momentum=0.8)
        return Case("BatchNormalization", self.one([9, 15]), operands, epsilon=self.one([1e-5, 1e-2]))

    def layer_norm(self):
        rank = self.int(1, 4)
        x, axis = self.floats(*self.extents(rank, 2, 5)), self.axis(rank)
        shape = x.shape[axis % rank:]
        bias = self.constant(self.floats(*shape)) if self.chance(0.6) else None
        return Case("LayerNormalization", 17, [self.input(x), self.either(self.floats(*shape)), bias], self.one([1, 1, 3]), axis=axis,
                    epsilon=self.one([1e-5, 0.1]))

    def other_norm(self):
        groups, channels = self.one([1, 2, 3]), self.int(1, 4)
        opset = self.one([18, 21])
        scales = lambda count: [self.constant(self.floats(count)) for _ in range(2)]
        grouped = self.floats(2, groups * 2, *self.extents(self.int(1, 2), 1, 4))
        return self.one([
            lambda: Case("GroupNormalization", opset, [self.input(grouped), *scales(groups if opset == 18 else groups * 2)],
                         num_groups=groups, epsilon=0.01),
            lambda: Case("InstanceNormalization", self.one([6, 22]),
                         [self.input(self.floats(2, channels, *self.extents(self.int(1, 3), 2, 4))), *scales(channels)], epsilon=0.01),
            lambda: Case("RMSNormalization", 23, [self.input(self.floats(2, 3, 4)), self.constant(self.floats(4))], axis=-1, epsilon=0.01),
            lambda: Case("LpNormalization", self.one([1, 22]), [self.input(self.floats(2, 3, 4))], axis=self.axis(3), p=self.one([1, 2])),
            lambda: Case("MeanVarianceNormalization", 13, [self.input(self.floats(2, 3, 4, 2))],
                         axes=self.one([[0, 2, 3], [2, 3], [1], [-1, 0]])),
            lambda: Case("LRN", 13, [self.input(self.floats(2, self.int(1, 7), 3, 2))], size=self.one([1, 3, 5]), alpha=0.1, beta=0.6,
                         bias=1.5),
        ])()

    def reduction(self):
        rank, whole = self.int(1, 4), self.chance(0.3)
        names = "Sum Mean Max Min Prod L1 SumSquare" if whole else "Sum Mean Max Min Prod L1 L2 SumSquare LogSum LogSumExp"
        op, shape = self.one(names.split()), self.extents(rank, 1, 5)
        x = self.ints(-4, 5, shape, self.one([np.int32, np.int64])) if whole else self.positive(*shape)
        axes = self.constant(self.some_axes(rank, 0)[1]) if self.chance(0.75) else None
        empty = {"noop_with_empty_axes": 1} if self.chance(0.3) else {}
        return Case("Reduce" + op, 13 if op == "Sum" else 18, [self.input(x), axes], keepdims=self.int(0, 1), **empty)

    def extreme(self):
        rank = self.int(1, 3)
        x = self.ints(-3, 3, self.extents(rank, 1, 20), self.one([np.float32, np.float32, np.int32, np.float64]))
        return Case(self.one(["ArgMax", "ArgMin"]), 13, [self.input(x)], axis=self.axis(rank), keepdims=self.int(0, 1),
                    select_last_index=self.int(0, 1))

    def top(self):
        x = self.one([self.floats(3, 6), self.ints(0, 4, (3, 6)).astype(np.float32), self.ints(0, 9, (3, 6))])
        axis = self.one([0, 1, -1])
        count = self.either([self.int(1, x.shape[axis])])
        return Case("TopK", 11, [self.input(x), count], 2, axis=axis, largest=self.int(0, 1), sorted=1)

    def running_sum(self):
        rank = self.int(1, 3)
        shape = self.extents(rank, 1, 5)
        x = self.floats(*shape) if self.chance(0.5) else self.ints(-5, 5, shape)
        return Case("CumSum", 14, [self.input(x), self.either(self.axis(rank))], exclusive=self.int(0, 1), reverse=self.int(0, 1))

    # Products.

    def gemm(self):
        m, k, n = self.extents(3, 1, 5)
        across, along = self.int(0, 1), self.int(0, 1)
        a, b = self.floats(*((k, m) if across else (m, k))), self.floats(*((n, k) if along else (k, n)))
        c = self.either(self.floats(*self.one([(n,), (m, 1), (1, n), (m, n), (1,), (1, 1)]))) if self.chance(0.7) else None
        scales = {"alpha": 0.5, "beta": self.one([0.0, 2.0])} if self.chance(0.5) else {}
        return Case("Gemm", 13, [self.input(a), self.either(b), c], transA=across, transB=along, **scales)

    def product(self):
        a, b = self.one([((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 1, 3, 4), (5, 4, 2)), ((5, 2, 3), (3,)), ((3,), (2, 3, 4)),
                         ((2, 3, 4), (4, 5)), ((0, 3), (3, 2)), ((2, 0), (0, 3))])
        return Case("MatMul", 13, [self.input(self.floats(*a)), self.either(self.floats(*b))])

    def einsum(self):
        equation, shapes = self.one([
            ("ij,jk->ik", [(2, 3), (3, 4)]), ("bij,bjk->bik", [(2, 3, 4), (2, 4, 2)]), ("ii->i", [(3, 3)]), ("ij->ji", [(2, 3)]),
            ("...ij,...jk->...ik", [(2, 3, 4), (4, 2)]), ("i,j->ij", [(3,), (2,)]), ("ij,ij->", [(2, 3), (2, 3)]),
            ("bhqd,bhkd->bhqk", [(1, 2, 3, 4), (1, 2, 5, 4)]), ("ij,jk", [(2, 3), (3, 4)]), ("ij->", [(2, 3)]),
            ("abc,cd,de->abe", [(2, 3, 4), (4, 2), (2, 3)]), ("b i j , b j -> b i", [(2, 3, 4), (2, 4)])])
        return Case("Einsum", 12, [self.input(self.floats(*shape)) for shape in shapes], equation=equation)

    def attention(self):
        batch, heads, queries, keys, width = self.int(1, 2), self.one([2, 4]), self.int(1, 5), self.int(1, 6), 4
        groups = self.one([heads, heads, 2])
        operands = [self.input(self.floats(batch, heads, queries, width)), self.input(self.floats(batch, groups, keys, width)),
                    self.input(self.floats(batch, groups, keys, width + self.one([0, 2])))]
        options = {"is_causal": 1, "scale": 0.3, "softcap": 2.0}
        attributes = {name: value for name, value in options.items() if self.chance(0.3)}
        if self.chance(0.5):
            operands.append(self.input(self.one([self.floats(queries, keys), self.floats(batch, 1, queries, keys),
                                                 self.numbers.rand(queries, keys) < 0.8])))
        return Case("Attention", 23, operands, **attributes)

    def recurrent(self):
        op, gates = self.one([("LSTM", 4), ("GRU", 3), ("RNN", 1)])
        direction, hidden = self.one(["forward", "reverse", "bidirectional"]), self.int(1, 5)
        ways, width, steps, batch = 2 if direction == "bidirectional" else 1, self.int(1, 5), self.int(1, 5), self.int(1, 3)
        half = np.float32(0.5)
        maybe = lambda operand: operand if self.chance(0.5) else None
        state = lambda: maybe(self.input(self.floats(ways, batch, hidden)))
        operands = [self.input(self.floats(steps, batch, width)), self.either(self.floats(ways, gates * hidden, width) * half),
                    self.constant(self.floats(ways, gates * hidden, hidden) * half),
                    maybe(self.constant(self.floats(ways, 2 * gates * hidden))),
                    maybe(self.input(np.array(self.extents(batch, 1, steps), np.int32))), state()]
        attributes = {"clip": 0.7} if self.chance(0.2) else {}
        if op == "LSTM":
            operands += [state(), maybe(self.constant(self.floats(ways, 3 * hidden)))]
            attributes.update({"activations": ["Sigmoid", "Relu", "Tanh"] * ways} if self.chance(0.2) else {})
        if op == "GRU":
            attributes["linear_before_reset"] = self.int(0, 1)
        return Case(op, self.one([7, 14]), operands, 3 if op == "LSTM" else 2, hidden_size=hidden, direction=direction, **attributes)

    # Quantisation.

    def quantise(self):
        kind, how = self.one([np.uint8, np.int8, np.uint16, np.int16]), self.one(["whole", "axis", "block"])
        back = self.chance(0.5)
        x = self.ints(0, 100, (3, 4, 2), kind) if back else self.floats(3, 4, 2) * 20
        attributes = {"axis": self.one([0, 1, -1])} if how == "axis" else {}
        shape = {"whole": (), "axis": (x.shape[attributes.get("axis", 0)],), "block": (3, 2, 2)}[how]
        if how == "block":
            attributes = {"axis": 1, "block_size": 2}
        operands = [self.input(x), self.constant(np.array(self.positive(*shape))), self.constant(self.ints(0, 9, shape, kind))]
        return Case("DequantizeLinear" if back else "QuantizeLinear", 21, operands, **attributes)

    def integers(self):
        if self.chance(0.5):
            return Case("DynamicQuantizeLinear", 11, [self.input(self.floats(4, 5) * self.one([1, 10]))], 3)
        operands = [self.input(self.ints(0, 255, (3, 4), np.uint8)), self.either(self.ints(0, 127, (4, 5), np.int8)),
                    self.constant(7, np.uint8), self.constant(3, np.int8)]
        return Case("MatMulInteger", 10, operands)

    # Machine learning other than networks: classifiers as scikit-learn's exporter writes them, with a map for each row.

    def labels(self, count, ints, texts):
        if self.chance(0.5):
            return {ints: self.pick.sample(range(-5, 20), count)}, {"classlabels_int64s": None}
        return {texts: self.pick.sample(["rose", "iris", "daisy", "tulip", "lily"], count)}, {"classlabels_strings": None}

    def classifier(self):
        classes, columns = self.int(2, 4), self.int(1, 4)
        x = [self.input(self.floats(self.int(1, 4), columns))]
        if self.chance(0.5):
            labels, zipped = self.labels(classes, "classlabels_ints", "classlabels_strings")
            case = Case("LinearClassifier", 1, x, 2, ML, coefficients=self.floats(classes * columns).tolist(),
                        intercepts=self.floats(classes).tolist(), post_transform=self.one(["NONE", "LOGISTIC", "SOFTMAX"]), multi_class=1,
                        **labels)
        else:
            labels, zipped = self.labels(classes, "classlabels_int64s", "classlabels_strings")
            case = Case("TreeEnsembleClassifier", 3, x, 2, ML, **self.tree(classes, columns), **labels)
        (given,) = labels.values()
        return case.then("ZipMap", "o1", "maps", ML, **{name: given for name in zipped})

    def tree(self, classes, columns):
        """One split, each of whose two leaves has a weight for every class."""
        leaves = [(leaf, label) for leaf in (1, 2) for label in range(classes)]
        return {
            "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [self.int(0, columns - 1), 0, 0],
            "nodes_modes": [self.one(["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT"]), "LEAF", "LEAF"], "nodes_values": [0.1, 0.0, 0.0],
            "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0], "nodes_missing_value_tracks_true": [0, 0, 0],
            "class_treeids": [0] * len(leaves), "class_nodeids": [leaf for leaf, _ in leaves],
            "class_ids": [label for _, label in leaves], "class_weights": self.positive(len(leaves)).tolist(),
            "post_transform": self.one(["NONE", "SOFTMAX"]),
        }


KINDS = [
    Nodes.convolution, Nodes.wide_convolution, Nodes.transposed, Nodes.quantised_convolution, Nodes.pooling, Nodes.unpooling,
    Nodes.whole, Nodes.resize,
    Nodes.pad, Nodes.slice, Nodes.gather, Nodes.gather_elements, Nodes.gather_nd, Nodes.scatter_elements, Nodes.scatter_nd,
    Nodes.split, Nodes.reshape, Nodes.stretch, Nodes.concat, Nodes.transpose, Nodes.squeeze, Nodes.movement, Nodes.selection,
    Nodes.suppression, Nodes.regions, Nodes.sampling, Nodes.deformation, Nodes.unary, Nodes.binary, Nodes.choose, Nodes.clip, Nodes.cast, Nodes.softmax,
    Nodes.batch_norm, Nodes.layer_norm, Nodes.other_norm, Nodes.reduction, Nodes.extreme, Nodes.top, Nodes.running_sum, Nodes.gemm,
    Nodes.product, Nodes.einsum, Nodes.attention, Nodes.recurrent, Nodes.quantise, Nodes.integers, Nodes.classifier,
    *contrib_kinds.KINDS,
]
