"""Building blocks of the Triton kernels: random words and normal numbers, and functions accurate near zero.

Words are those of `ohmgrad.rng`. Everything is plain arithmetic on 32-bit numbers, so that every card and the
interpreter compute the same.
"""

# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportArgumentType=false, reportIndexIssue=false, reportGeneralTypeIssues=false
# (inside kernels the types are Triton's)

from __future__ import annotations

import triton
import triton.language as tl

__all__ = [
    "cell_normals", "exp2m1", "gauss2", "log2_1p", "philox", "popcount", "quads", "round_half_even", "unit",
]  # fmt: skip


@triton.jit
def philox(c0, c1, c2, c3, k0, k1):
    """Four words of Philox4x32-10; all arguments uint32. See `ohmgrad.rng.philox`."""
    for _ in tl.static_range(10):
        a = tl.full(c0.shape, 0xD2511F53, tl.uint32)
        b = tl.full(c2.shape, 0xCD9E8D57, tl.uint32)
        h0, l0 = tl.umulhi(c0, a), c0 * a
        h1, l1 = tl.umulhi(c2, b), c2 * b
        c0, c1, c2, c3 = h1 ^ c1 ^ k0, l1, h0 ^ c3 ^ k1, l0
        k0 = k0 + tl.full(k0.shape, 0x9E3779B9, tl.uint32)
        k1 = k1 + tl.full(k1.shape, 0xBB67AE85, tl.uint32)
    return c0, c1, c2, c3


@triton.jit
def popcount(x):
    """Number of set bits of uint32, as int32; compilers know this form of it."""
    x = x - ((x >> 1) & 0x55555555)
    x = (x & 0x33333333) + ((x >> 2) & 0x33333333)
    x = (x + (x >> 4)) & 0x0F0F0F0F
    return ((x * 0x01010101) >> 24).to(tl.int32)


@triton.jit
def unit(a):
    """Uniform number in (0, 1] from a word."""
    return (a.to(tl.float32) + 0.5) * 2.3283064365386963e-10  # 2^-32


@triton.jit
def gauss2(a, b):
    """Two standard normal float32 numbers from two uint32 words (Box-Muller)."""
    bits = unit(a).to(tl.int32, bitcast=True)
    e = (bits - 0x3F3504F3) >> 23
    m = (bits - (e << 23)).to(tl.float32, bitcast=True)  # in [sqrt(1/2), sqrt(2))
    t = tl.div_rn(m - 1.0, m + 1.0)
    s = t * t
    p = 0.1111111111111111 * s + 0.14285714285714285
    p = p * s + 0.2
    p = p * s + 0.3333333333333333
    p = p * s + 1.0
    log_u = e.to(tl.float32) * 0.6931471805599453 + 2.0 * t * p
    radius = tl.sqrt_rn(tl.maximum(-2.0 * log_u, 0.0))

    quarter = (b + 0x20000000) >> 30
    r = (b - (quarter << 30)).to(tl.int32, bitcast=True).to(tl.float32) * 1.4629180792671596e-9  # 2 pi / 2^32
    s = r * r
    sin = 2.7557319e-6 * s - 1.9841270e-4
    sin = sin * s + 8.3333333e-3
    sin = sin * s - 1.6666667e-1
    sin = sin * s * r + r
    cos = 2.4801587e-5 * s - 1.3888889e-3
    cos = cos * s + 4.1666667e-2
    cos = cos * s - 0.5
    cos = cos * s + 1.0
    odd = (quarter & 1) != 0
    c = tl.where(odd, sin, cos)
    d = tl.where(odd, cos, sin)
    c = tl.where(((quarter + 1) & 2) != 0, -c, c)
    d = tl.where((quarter & 2) != 0, -d, d)
    return radius * c, radius * d


@triton.jit
def exp2m1(y):
    """2^y - 1, relatively accurate near y = 0; y is kept in [-126, 126]."""
    y = tl.minimum(tl.maximum(y, -126.0), 126.0)
    k = tl.floor(y + 0.5)
    r = y - k  # Taylor series of 2^r - 1 on [-1/2, 1/2]
    p = 1.5252734e-5 * r + 1.5403530e-4
    p = p * r + 1.3333558e-3
    p = p * r + 9.6181291e-3
    p = p * r + 5.5504109e-2
    p = p * r + 2.4022651e-1
    p = p * r + 6.9314718e-1
    p = p * r
    two_k = ((k.to(tl.int32) + 127) << 23).to(tl.float32, bitcast=True)
    return (two_k - 1.0) + two_k * p


@triton.jit
def log2_1p(x):
    """log2(1 + x) for -1/2 <= x <= 1/2, relatively accurate near x = 0."""
    t = tl.div_rn(x, 2.0 + x)  # log(1+x) = 2 artanh(t)
    s = t * t
    p = 0.07692307692307693 * s + 0.09090909090909091
    p = p * s + 0.1111111111111111
    p = p * s + 0.14285714285714285
    p = p * s + 0.2
    p = p * s + 0.3333333333333333
    p = p * s + 1.0
    return 2.8853900817779268 * t * p


@triton.jit
def round_half_even(v):
    """The nearest whole number, the even one of two, as torch rounds."""
    down = tl.floor(v)
    part = v - down
    odd = down - 2.0 * tl.floor(0.5 * down)
    return down + tl.where((part > 0.5) | ((part == 0.5) & (odd != 0.0)), 1.0, 0.0)


@triton.jit
def quads(a, b, c, d):
    """Numbers of four lanes, (m, n) each, side by side: (m, 4 n), item 4 g + lane of each row."""
    both = tl.join(tl.join(a, c), tl.join(b, d))
    return tl.reshape(both, (a.shape[0], 4 * a.shape[1]))


@triton.jit
def cell_normals(row, index, step, purpose, k0, k1):
    """Standard normal numbers of blocks of four, (m, 4 n), in the order of `quads`.

    row: uint32 (m, 1); index: of the block, uint32 (1, n).
    """
    zero = tl.zeros((row.shape[0], index.shape[1]), tl.uint32)
    a, b, c, d = philox(index + zero, row + zero, step + zero, purpose + zero, k0, k1)
    za, zb = gauss2(a, b)
    zc, zd = gauss2(c, d)
    return quads(za, zb, zc, zd)
