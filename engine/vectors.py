"""Vectors of numbers in compiled loops: what numba's own vectorizer does not find, or does not keep in registers.

A vector has a fixed number of lanes, which is part of its type: a literal in the compiled code. LLVM maps it to the
vector instructions of the processor, or to several, or to scalar ones; every lane is one IEEE operation, so the bits
are the same on all of them. Products and sums are never contracted.

Functions here can only be called in compiled functions (`engine.compilation`). They do not check indices. Arrays must
be contiguous along their last axis.

References
----------
numba, "Extending Numba: @intrinsic", "Registering models". LLVM, "Language Reference Manual: vector type".
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model
from numba.np.arrayobj import make_array

_INDEX = ir.IntType(32)


class Vector(types.Type):  # type: ignore[misc] # its types are not followed
    """The type of a vector of `lanes` numbers of the type `dtype`."""

    def __init__(self, dtype: types.Type, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Vector({dtype}, {lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc] # its types are not followed
    """The representation of a vector as a value of LLVM."""

    def __init__(self, dmm: Any, fe_type: Vector) -> None:
        super().__init__(dmm, fe_type, ir.VectorType(dmm.lookup(fe_type.dtype).get_value_type(), fe_type.lanes))


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def load(typing: Any, array: Any, index: Any, lanes: Any) -> Any:
    """Return the `lanes` elements of an array from an index on; `lanes` is a literal."""
    vector = Vector(array.dtype, lanes.literal_value)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature, arguments, vector.lanes)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, types.uint64, lanes), generate


@intrinsic  # type: ignore[untyped-decorator]
def load_like(typing: Any, array: Any, index: Any, other: Any) -> Any:
    """Return as many elements of an array as another vector has, from an index on."""
    vector = Vector(array.dtype, other.lanes)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature, arguments, vector.lanes)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, types.uint64, other), generate


@intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """Write a vector into an array from an index on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature, arguments, vector.lanes)
        builder.store(arguments[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.uint64, vector), generate


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def fill(typing: Any, value: Any, lanes: Any) -> Any:
    """Return a vector with `value` in all lanes; `lanes` is a literal."""
    scalar = types.unliteral(value)
    vector = Vector(scalar, lanes.literal_value)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _repeat(builder, arguments[0], vector.lanes)

    return vector(scalar, lanes), generate


@intrinsic  # type: ignore[untyped-decorator]
def fill_like(typing: Any, value: Any, other: Any) -> Any:
    """Return a vector with `value` in as many lanes as another vector has."""
    scalar = types.unliteral(value)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _repeat(builder, arguments[0], other.lanes)

    return Vector(scalar, other.lanes)(scalar, other), generate


@intrinsic  # type: ignore[untyped-decorator]
def lanes_of(typing: Any, vector: Any) -> Any:
    """Return the number of lanes, uint64, which LLVM knows as a constant."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(ir.IntType(64), vector.lanes)

    return types.uint64(vector), generate


@intrinsic  # type: ignore[untyped-decorator]
def add(typing: Any, one: Any, other: Any) -> Any:
    """Return the sum of two vectors of one type; integers wrap around."""
    floats = isinstance(one.dtype, types.Float)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return (builder.fadd if floats else builder.add)(*arguments)

    return one(one, other), generate


@intrinsic  # type: ignore[untyped-decorator]
def add_product(typing: Any, total: Any, factor: Any, scalar: Any) -> Any:
    """Return total + factor * scalar, the product rounded before it is added."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, factors, number = arguments
        return builder.fadd(sums, builder.fmul(factors, _repeat(builder, number, total.lanes)))

    return total(total, factor, total.dtype), generate


@intrinsic  # type: ignore[untyped-decorator]
def standardized(typing: Any, values: Any, default: Any, mean: Any, scale: Any) -> Any:
    """Return (value - mean) / scale, with `default` for a value that is NaN."""
    scalar = values.dtype

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        raw, *others = arguments
        absent, middle, unit = (_repeat(builder, number, values.lanes) for number in others)
        known = builder.select(builder.fcmp_unordered("uno", raw, raw), absent, raw)
        return builder.fdiv(builder.fsub(known, middle), unit)

    return values(values, scalar, scalar, scalar), generate


@intrinsic  # type: ignore[untyped-decorator]
def rectified(typing: Any, values: Any) -> Any:
    """Return the vector with 0 for values below 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zero = ir.Constant(arguments[0].type, [0.0] * values.lanes)
        return builder.select(builder.fcmp_ordered("<", arguments[0], zero), zero, arguments[0])

    return values(values), generate


@intrinsic  # type: ignore[untyped-decorator]
def move(typing: Any, places: Any, before: Any, codes: Any, here: Any, cut: Any, left: Any, right: Any) -> Any:
    """Return the positions of rows in a tree after a node: those that were at it go right if above its cut, else left.

    `places` and `before` have the position of each row, uint8, now and when the node is looked at; `codes` the code of
    each row's feature; `here` and `cut` are the position of the node and its cut, `left` and `right` its children.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        now, at, feature, node, edge, near, far = arguments
        there = builder.icmp_unsigned("==", at, _repeat(builder, node, places.lanes))
        above = builder.icmp_unsigned(">", feature, _repeat(builder, edge, places.lanes))
        child = builder.select(above, _repeat(builder, far, places.lanes), _repeat(builder, near, places.lanes))
        return builder.select(there, child, now)

    return places(places, places, codes, types.uint8, codes.dtype, types.uint8, types.uint8), generate


@intrinsic  # type: ignore[untyped-decorator]
def split_groups(typing: Any, inside: Any, outside: Any, codes: Any, neutral: Any, cut: Any, group: Any) -> Any:
    """Return the groups inside and outside at the right child of a node, then at the left child.

    `inside` and `outside` have a bit for each group, uint16, of each row at the node; `codes` and `neutral` the codes
    of the node's feature, `group` the bit of its group. A row that does not reach a child has all bits in both there.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        within, without, own, base, edge, bit = arguments
        edges, bits = _repeat(builder, edge, inside.lanes), _repeat(builder, bit, inside.lanes)
        none, every = (ir.Constant(bits.type, [value] * inside.lanes) for value in (0, 0xFFFF))
        right, neutral_right = (builder.icmp_unsigned(">", value, edges) for value in (own, base))
        only_own = builder.select(builder.and_(right, builder.not_(neutral_right)), bits, none)
        only_neutral = builder.select(builder.and_(neutral_right, builder.not_(right)), bits, none)
        not_right = builder.select(builder.or_(right, neutral_right), none, every)
        not_left = builder.select(builder.and_(right, neutral_right), every, none)
        children = (
            builder.or_(builder.or_(within, only_own), not_right),
            builder.or_(builder.or_(without, only_neutral), not_right),
            builder.or_(builder.or_(within, only_neutral), not_left),
            builder.or_(builder.or_(without, only_own), not_left),
        )
        return context.make_tuple(builder, signature.return_type, children)

    result = types.UniTuple(inside, 4)
    return result(inside, outside, codes, neutral, codes.dtype, types.uint16), generate


@intrinsic  # type: ignore[untyped-decorator]
def disjoint_lanes(typing: Any, one: Any, other: Any) -> Any:
    """Return the lanes in which two vectors have no bit in common, as the bits of a uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        common = builder.and_(*arguments)
        free = builder.icmp_unsigned("==", common, ir.Constant(common.type, [0] * one.lanes))
        return builder.zext(builder.bitcast(free, ir.IntType(one.lanes)), ir.IntType(64))

    return types.uint64(one, other), generate


@intrinsic  # type: ignore[untyped-decorator]
def lowest_lane(typing: Any, lanes: Any) -> Any:
    """Return the number of the lowest bit that is set in a uint64 other than 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def add_entries(typing: Any, total: Any, table: Any, places: Any) -> Any:
    """Return total + table[places]: vectors of 8 float64, 16 float32 and 8 positions below 16."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, entries, at = arguments
        wide = builder.zext(at, ir.VectorType(_INDEX, total.lanes))
        found = ir.Constant(ir.VectorType(entries.type.element, total.lanes), ir.Undefined)
        # LLVM recognizes one permutation of the table; of more numbers than a vector of float64 has, only the first.
        for lane in range(total.lanes):
            place = ir.Constant(_INDEX, lane)
            entry = builder.extract_element(entries, builder.extract_element(wide, place))
            found = builder.insert_element(found, entry, place)
        return builder.fadd(sums, builder.fpext(found, sums.type))

    return total(total, table, places), generate


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any, lanes: int) -> Any:
    """Return the address of an array's element as that of a vector."""
    data = make_array(signature.args[0])(context, builder, arguments[0]).data
    element = builder.gep(data, [arguments[1]])
    return builder.bitcast(element, ir.VectorType(data.type.pointee, lanes).as_pointer())


def _repeat(builder: Any, value: Any, lanes: int) -> Any:
    """Return a vector of LLVM with a number in all lanes."""
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(_INDEX, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_INDEX, lanes), [0] * lanes))
