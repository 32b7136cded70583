"""The ranking network as one compiled loop: a block of pairs goes through all layers while it is in cache.

The matrix products are register tiles of explicit vectors (Goto & van de Geijn, ACM TOMS 34(3), 2008),
because a compiler that may not reorder sums does not vectorise a dot product. Weights are row-major
(in, out) with the outputs padded to ``COLUMNS``; every sum has one fixed order, so that a pair's score
does not depend on the batch it comes in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba.core import cgutils as untyped_cgutils
from numba.core import types
from numba.extending import intrinsic

from foundation.kernels import kernel
from foundation.types import Floats, Int64s
from ranking.model.spec import CLIP

cgutils: Any = untyped_cgutils
_FEATURES = binding.get_host_cpu_features()
# Lanes of a vector and vectors of a tile's line: 6 lines of them have to stay in the CPU's registers.
LANES, VECTORS = (16, 4) if _FEATURES.get("avx512f") else (8, 2) if _FEATURES.get("avx2") else (4, 2)
LINES = 6
COLUMNS = 64  # of a padded layer: a whole number of tiles on every CPU
_TILE = LANES * VECTORS
_BLOCK = 16 * LINES  # pairs: with 128 hidden units about 100 KiB
_VECTOR, _FLOAT, _INT = ir.VectorType(ir.FloatType(), LANES), ir.FloatType(), ir.IntType(64)

_LOG2_E = np.float32(1 / math.log(2))
_C1, _C2, _C3, _C4, _C5, _C6 = (np.float32(math.log(2) ** n / math.factorial(n)) for n in range(1, 7))
_ONE, _HALF, _FAR = np.float32(1), np.float32(0.5), np.float32(126)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [at])


def _load(builder: Any, pointer: Any, at: Any) -> Any:
    """The vector that begins ``at`` floats behind ``pointer``."""
    return builder.load(builder.bitcast(builder.gep(pointer, [at]), _VECTOR.as_pointer()), align=4)


def _multiply_add(builder: Any) -> Any:
    """A x b + c: one rounding where the CPU can, two elsewhere."""
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")


def _tile_code(
    _: Any,
    x: Any,
    _x_at: Any,
    _x_step: Any,
    weights: Any,
    _w_at: Any,
    _step: Any,
    biases: Any,
    _b_at: Any,
    out: Any,
    _out_at: Any,
    _depth: Any,
) -> Any:
    """out[6, tile] = bias + x[6, depth] @ w[depth, tile], with line lengths ``x_step`` and ``step``."""
    size = types.intp
    signature = types.void(x, size, size, weights, size, size, biases, size, out, size, size)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kinds = signature.args
        x, x_at, x_step, weights, w_at, step, biases, b_at, out, out_at, depth = values
        source = _pointer(context, builder, kinds[0], x, x_at)
        matrix = _pointer(context, builder, kinds[3], weights, w_at)
        starts = _pointer(context, builder, kinds[6], biases, b_at)
        target = _pointer(context, builder, kinds[8], out, out_at)
        sums = [[cgutils.alloca_once(builder, _VECTOR) for _ in range(VECTORS)] for _ in range(LINES)]
        for vector in range(VECTORS):
            start = _load(builder, starts, _INT(vector * LANES))
            for line in sums:
                builder.store(start, line[vector])
        add = _multiply_add(builder)
        with cgutils.for_range(builder, depth, intp=_INT) as loop:
            behind = builder.mul(loop.index, step)
            row = [_load(builder, matrix, builder.add(behind, _INT(v * LANES))) for v in range(VECTORS)]
            for number, line in enumerate(sums):
                at = builder.add(builder.mul(_INT(number), x_step), loop.index)
                value = _broadcast(builder, builder.load(builder.gep(source, [at])))
                for vector in range(VECTORS):
                    builder.store(builder.call(add, [value, row[vector], builder.load(line[vector])]), line[vector])
        for number, line in enumerate(sums):
            for vector in range(VECTORS):
                at = builder.add(builder.mul(_INT(number), step), _INT(vector * LANES))
                place = builder.bitcast(builder.gep(target, [at]), _VECTOR.as_pointer())
                builder.store(builder.load(line[vector]), place, align=4)
        return context.get_dummy_value()

    return signature, generate


def _broadcast(builder: Any, value: Any) -> Any:
    """A vector of nothing but ``value``."""
    nothing, first = ir.Constant(_VECTOR, ir.Undefined), ir.IntType(32)
    lone = builder.insert_element(nothing, value, first(0))
    return builder.shuffle_vector(lone, nothing, ir.Constant(ir.VectorType(first, LANES), [0] * LANES))


def _dot_code(_: Any, x: Any, _x_at: Any, w: Any) -> Any:
    """The inner product of all of ``w`` with as much of ``x`` from ``x_at`` on; lanes are added last."""
    signature = types.float32(x, types.intp, w)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        x, x_at, w = values
        source = _pointer(context, builder, signature.args[0], x, x_at)
        weights = _pointer(context, builder, signature.args[2], w, _INT(0))
        total = cgutils.alloca_once_value(builder, ir.Constant(_VECTOR, [0.0] * LANES))
        length = builder.extract_value(context.make_array(signature.args[2])(context, builder, w).shape, 0)
        with cgutils.for_range(builder, builder.sdiv(length, _INT(LANES)), intp=_INT) as loop:
            at = builder.mul(loop.index, _INT(LANES))
            both = [_load(builder, source, at), _load(builder, weights, at), builder.load(total)]
            builder.store(builder.call(_multiply_add(builder), both), total)
        kind = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
        add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.v{LANES}f32")
        return builder.call(add, [_FLOAT(0.0), builder.load(total)], fastmath=("reassoc",))

    return signature, generate


def _float_of_code(_: Any, _bits: Any) -> Any:
    """The float32 of these 32 bits."""

    def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:
        return builder.bitcast(values[0], _FLOAT)

    return types.float32(types.int32), generate


_tile = cast("Callable[..., None]", intrinsic(_tile_code))
_dot = cast("Callable[..., np.float32]", intrinsic(_dot_code))
_float_of = cast("Callable[[np.int32], np.float32]", intrinsic(_float_of_code))


class Weights(NamedTuple):
    """A ranking network as ``score_pairs`` reads it: F features, C of them with padding, all arrays flat."""

    mean: Floats  # (F,)
    scale: Floats  # (F,)
    cross: Floats  # (F x C)
    cross_bias: Floats  # (C,) one more than the network's: x * cross(x) + x becomes a single product
    widths: Int64s  # (layers,) padded outputs of each hidden layer
    hidden: Floats  # the hidden layers' matrices, one after the other
    biases: Floats  # theirs
    out_deep: Floats  # (widths[-1],) what the last hidden layer adds to the score
    out_wide: Floats  # (C,) what x adds
    out_bias: Floats  # (1,)


@kernel
def score_pairs(features: Floats, network: Weights) -> Floats:
    """The (P,) scores of (P, F) pairs."""
    mean, scale, cross, cross_bias, widths, hidden, biases, out_deep, out_wide, out_bias = network
    pairs, n_features = features.shape
    wide = len(cross_bias)
    widest = wide
    for width in widths:
        widest = max(widest, width)
    x, scores = np.zeros(_BLOCK * wide, np.float32), np.empty(pairs, np.float32)
    here, there = np.empty(_BLOCK * widest, np.float32), np.empty(_BLOCK * widest, np.float32)
    for start in range(0, pairs, _BLOCK):
        lines = min(_BLOCK, pairs - start)
        for line in range(lines):
            for column in range(n_features):
                value = (features[start + line, column] - mean[column]) * scale[column]
                x[line * wide + column] = min(max(value, -CLIP), CLIP)
        _layer(x, wide, cross, 0, cross_bias, 0, n_features, wide, lines, here)
        for at in range(lines * wide):
            here[at] *= x[at]
        depth, step, weight_at, bias_at = n_features, wide, 0, 0
        for width in widths:
            _layer(here, step, hidden, weight_at, biases, bias_at, depth, width, lines, there)
            _silu(there, lines * width)
            here, there = there, here
            weight_at, bias_at = weight_at + depth * width, bias_at + width
            depth, step = width, width
        for line in range(lines):
            wide_part = _dot(x, line * wide, out_wide)
            scores[start + line] = out_bias[0] + _dot(here, line * step, out_deep) + wide_part
    return scores


@kernel
def _layer(
    x: Floats,
    x_step: int,
    weights: Floats,
    weight_at: int,
    biases: Floats,
    bias_at: int,
    depth: int,
    width: int,
    lines: int,
    out: Floats,
) -> None:
    """The first ``lines`` of out = x @ weights + biases, and up to 5 more that mean nothing."""
    for line in range(0, lines, LINES):
        for column in range(0, width, _TILE):
            _tile(
                x,
                line * x_step,
                x_step,
                weights,
                weight_at + column,
                width,
                biases,
                bias_at + column,
                out,
                line * width + column,
                depth,
            )


@kernel
def _silu(values: Floats, length: int) -> None:
    """X / (1 + exp(-x)) in place. exp is 2^n x 2^t with |t| <= 1/2: a shift and six terms of Taylor's series."""
    for at in range(length):
        x = values[at]
        power = min(max(-x * _LOG2_E, -_FAR), _FAR)
        whole = np.floor(power + _HALF)
        t = power - whole
        series = _ONE + t * (_C1 + t * (_C2 + t * (_C3 + t * (_C4 + t * (_C5 + t * _C6)))))
        values[at] = x / (_ONE + series * _float_of((np.int32(whole) + np.int32(127)) << np.int32(23)))
