"""Scalar building blocks of the Numba kernels, written so that LLVM turns their loops into vectors.

Everything here is inlined into loops over lines or cells. Two rules keep those loops vectorised:
values are loaded before they are selected (a select between two loads becomes a gather), and 32-bit
integers are cast back after every operation (Numba widens them to 64 bits).
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# (Numba's types are callable and its intrinsics are typed by the compiler, not by pyright)

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from ...rng import Purpose
from .compiling import CONTRACT, part
from .late import late_kernel

__all__ = [
    "UPDATE_NOISE", "artanh_ratio", "as_float", "as_int", "exp2m1", "gauss2", "gauss_cell", "gauss_list",
    "gauss_row", "log2_1p", "philox", "popcount", "top", "wide_vectors",
]  # fmt: skip

u32, u64, i32, f32 = np.uint32, np.uint64, np.int32, np.float32

UPDATE_NOISE = u32(Purpose.UPDATE_NOISE)


@intrinsic
def popcount(typingctx: Any, value: Any) -> Any:
    """Number of set bits of a uint32, or of a uint16 as such."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    word = types.uint16 if value == types.uint16 else types.uint32
    return word(word), codegen


@intrinsic
def wide_vectors(typingctx: Any) -> Any:
    """Let the function that calls this take vectors of 512 bits, where the processor has them.

    LLVM keeps to 256 on processors of its "prefer-256-bit" kind, for the sake of code around that is slowed
    down; loops over whole rows gain a third.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        # llvmlite knows no attributes with values: past its check
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), codegen


@intrinsic
def as_float(typingctx: Any, value: Any) -> Any:
    """The float32 with the bits of an int32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), codegen


@intrinsic
def as_int(typingctx: Any, value: Any) -> Any:
    """The int32 with the bits of a float32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), codegen


@part()
def top(values):
    """Largest absolute value; not finite if any value is not. The bits of floats order as integers."""
    bits = i32(0)
    for i in range(values.shape[0]):
        bits = max(bits, i32(as_int(values[i]) & i32(0x7FFFFFFF)))
    return as_float(bits)


@njit(inline="always")
def philox(c0, c1, c2, c3, k0, k1):
    """Four words of Philox4x32-10; all arguments uint32. See `ohmgrad.rng.philox`.

    Words stay in 64 bits, of which products take the lower half: narrowed after each product they would be
    packed and unpacked as often, which takes longer than the products.
    """
    half, low = u64(32), u64(0xFFFFFFFF)
    a, b, c, d = u64(c0), u64(c1), u64(c2), u64(c3)
    for _ in range(10):
        p0 = u64(0xD2511F53) * (a & low)
        p1 = u64(0xCD9E8D57) * (c & low)
        a, b = (p1 >> half) ^ (b ^ u64(k0)), p1
        c, d = (p0 >> half) ^ (d ^ u64(k1)), p0
        k0 = u32(k0 + u32(0x9E3779B9))
        k1 = u32(k1 + u32(0xBB67AE85))
    return u32(a), u32(b), u32(c), u32(d)


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def exp2m1(y):
    """2^y - 1 in float32, relatively accurate near y = 0; y is kept in [-126, 126]."""
    y = min(max(y, f32(-126)), f32(126))
    k = np.rint(y)
    r = y - k  # Taylor series of 2^r - 1 on [-1/2, 1/2]
    p = f32(1.5252734e-5) * r + f32(1.5403530e-4)
    p = p * r + f32(1.3333558e-3)
    p = p * r + f32(9.6181291e-3)
    p = p * r + f32(5.5504109e-2)
    p = p * r + f32(2.4022651e-1)
    p = p * r + f32(6.9314718e-1)
    p = p * r
    two_k = as_float(i32((i32(k) + i32(127)) << i32(23)))
    return (two_k - f32(1)) + two_k * p


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def artanh_ratio(t):
    """artanh(t)/t in float32 for small t."""
    s = t * t
    p = f32(1 / 13) * s + f32(1 / 11)
    p = p * s + f32(1 / 9)
    p = p * s + f32(1 / 7)
    p = p * s + f32(1 / 5)
    p = p * s + f32(1 / 3)
    return p * s + f32(1)


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def log2_1p(x):
    """log2(1 + x) in float32 for -1/2 <= x <= 1/2, relatively accurate near x = 0."""
    t = x / (f32(2) + x)  # log(1+x) = 2 artanh(t)
    return f32(2.8853900817779268) * t * artanh_ratio(t)


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def gauss2(a, b) -> Any:
    """Two standard normal float32 numbers from two uint32 words (Box-Muller)."""
    u = (f32(a) + f32(0.5)) * f32(2.0**-32)
    bits = as_int(u)
    e = i32(i32(bits - i32(0x3F3504F3)) >> i32(23))
    m = as_float(i32(bits - i32(e << i32(23))))  # in [sqrt(1/2), sqrt(2))
    t = (m - f32(1)) / (m + f32(1))
    s = t * t
    p = f32(1 / 9) * s + f32(1 / 7)
    p = p * s + f32(1 / 5)
    p = p * s + f32(1 / 3)
    p = p * s + f32(1)
    log_u = f32(e) * f32(0.6931471805599453) + f32(2) * t * p
    radius = np.sqrt(max(f32(-2) * log_u, f32(0)))

    quarter = u32(u32(b + u32(0x20000000)) >> u32(30))
    r = f32(i32(u32(b - u32(quarter << u32(30))))) * f32(1.4629180792671596e-9)  # 2 pi / 2^32
    s = r * r
    sin = f32(2.7557319e-6) * s - f32(1.9841270e-4)
    sin = sin * s + f32(8.3333333e-3)
    sin = sin * s - f32(1.6666667e-1)
    sin = sin * s * r + r
    cos = f32(2.4801587e-5) * s - f32(1.3888889e-3)
    cos = cos * s + f32(4.1666667e-2)
    cos = cos * s - f32(0.5)
    cos = cos * s + f32(1)
    odd = u32(quarter & u32(1)) != u32(0)
    c = sin if odd else cos
    d = cos if odd else sin
    c = -c if u32(u32(quarter + u32(1)) & u32(2)) != u32(0) else c
    d = -d if u32(quarter & u32(2)) != u32(0) else d
    return radius * c, radius * d


@late_kernel(types.void, fastmath=CONTRACT)
def gauss_row(r, purpose, address, z):
    """The standard normal numbers of `rng.gaussians` of all cells of row r; z is padded to fours."""
    wide_vectors()
    group = z.shape[0] // 4
    za, zb, zc, zd = z[:group], z[group : 2 * group], z[2 * group : 3 * group], z[3 * group :]
    for g in range(group):
        a, b, c, d = philox(u32(g), u32(r), address.step, purpose, address.k0, address.k1)
        za[g], zb[g] = gauss2(a, b)
        zc[g], zd[g] = gauss2(c, d)


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def gauss_cell(r, j, group, purpose, address):
    """The number of `gauss_row` of cell j; group: a quarter of the padded row."""
    lane = i32(j >= group) + i32(j >= 2 * group) + i32(j >= 3 * group)
    a, b, c, d = philox(u32(j - lane * group), u32(r), address.step, purpose, address.k0, address.k1)
    late = lane >= i32(2)
    one, two = gauss2(c if late else a, d if late else b)
    return two if (lane & i32(1)) != i32(0) else one


@late_kernel(types.void, fastmath=CONTRACT)
def gauss_list(r, n, purpose, address, columns, z):
    """The numbers of `gauss_row` of the first n listed cells of row r; z has the length of that row's."""
    group = z.shape[0] // 4
    for i in range(n):
        z[i] = gauss_cell(r, columns[i], group, purpose, address)
