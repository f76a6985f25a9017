// The register tile that every product and convolution runs in. Sums run in the order of k within a block of DEPTH.
import { Scratch } from './scratch';
import { Lanes } from './simd';
import { Tall } from './tall';

/** Depth of a block: a panel of 16 columns is 16 KiB, a third of a common L1 cache. */
export const DEPTH: i32 = 256;
/** Columns of a block of B, 512 KiB when packed. */
export const WIDTH: i32 = 512;
/**
 * Rows of a block of A. Rows of large matrices lie on pages of their own, and 48 of A with 48 of C are as many as an L1
 * TLB of 96 entries holds: 1024 × 1024 products are 8% faster than with 256 rows, where the tile is fast enough to notice.
 */
export const HEIGHT: i32 = 48;
export const PANEL: i32 = 16;

/** What the tile starts from when it adds to nothing. */
const ZEROS: usize = memory.data(64, 16);

export class Tile {
  @inline static step(sum: v128, a: v128, b: v128): v128 {
    return Lanes.madd(a, b, sum);
  }

  @inline static finish(from: v128, sum: v128, lowest: v128): v128 {
    return f32x4.pmax(f32x4.add(from, sum), lowest);
  }

  /**
   * 2 × 16 outputs: c = max(from + Σ a b, lowest). Two rows of A, `ak` bytes from one element to the next; 16 columns of
   * B, `bk` bytes from one row to the next. Eight sums are as many as V8 11 keeps in registers. A block's sum is complete
   * before it meets `from`, so rounding errors grow with its depth plus the number of blocks, not with their product.
   */
  static run(
    c0: usize,
    c1: usize,
    from0: usize,
    from1: usize,
    a0: usize,
    a1: usize,
    ak: usize,
    b: usize,
    bk: usize,
    k: i32,
    lowest: f32,
  ): void {
    const zero = f32x4.splat(0);
    let p0 = zero;
    let p1 = zero;
    let p2 = zero;
    let p3 = zero;
    let q0 = zero;
    let q1 = zero;
    let q2 = zero;
    let q3 = zero;
    for (; k > 0; k--) {
      const x = v128.load32_splat(a0);
      const y = v128.load32_splat(a1);
      const b0 = v128.load(b);
      p0 = Tile.step(p0, x, b0);
      q0 = Tile.step(q0, y, b0);
      const b1 = v128.load(b, 16);
      p1 = Tile.step(p1, x, b1);
      q1 = Tile.step(q1, y, b1);
      const b2 = v128.load(b, 32);
      p2 = Tile.step(p2, x, b2);
      q2 = Tile.step(q2, y, b2);
      const b3 = v128.load(b, 48);
      p3 = Tile.step(p3, x, b3);
      q3 = Tile.step(q3, y, b3);
      a0 += ak;
      a1 += ak;
      b += bk;
    }
    const low = f32x4.splat(lowest);
    v128.store(c0, Tile.finish(v128.load(from0), p0, low));
    v128.store(c0, Tile.finish(v128.load(from0, 16), p1, low), 16);
    v128.store(c0, Tile.finish(v128.load(from0, 32), p2, low), 32);
    v128.store(c0, Tile.finish(v128.load(from0, 48), p3, low), 48);
    v128.store(c1, Tile.finish(v128.load(from1), q0, low));
    v128.store(c1, Tile.finish(v128.load(from1, 16), q1, low), 16);
    v128.store(c1, Tile.finish(v128.load(from1, 32), q2, low), 32);
    v128.store(c1, Tile.finish(v128.load(from1, 48), q3, low), 48);
  }

  /**
   * One panel of B against `m` rows of A: the second row of a pair `ai` bytes after the first, the next pair `pair` bytes;
   * outputs `ldc` bytes apart. Starts from C itself (`adds`), from rows of 16 (`from`, `step` bytes apart), or from nothing.
   */
  static column(
    c: usize,
    ldc: usize,
    cols: i32,
    a: usize,
    ai: usize,
    pair: usize,
    ak: usize,
    b: usize,
    bk: usize,
    m: i32,
    k: i32,
    from: usize,
    step: usize,
    adds: bool,
    lowest: f32,
  ): void {
    const narrow = cols < PANEL;
    let start = from ? from : ZEROS;
    let i = 0;
    if (ASC_FEATURE_RELAXED_SIMD && !narrow) {
      const next = adds ? ldc : step;
      if (Tall.takesSix())
        for (; i + 6 <= m; i += 6, c += 6 * ldc, a += 3 * pair, start += 6 * step) {
          const f = adds ? c : start;
          Tall.six(c, ldc, f, next, a, ai, pair, ak, b, bk, k, lowest);
          Tall.six(c + 32, ldc, f + 32, next, a, ai, pair, ak, b + 32, bk, k, lowest);
        }
      for (; i + 4 <= m; i += 4, c += 4 * ldc, a += 2 * pair, start += 4 * step) {
        const f = adds ? c : start;
        Tall.four(c, ldc, f, next, a, ai, pair, ak, b, bk, k, lowest);
        Tall.four(c + 32, ldc, f + 32, next, a, ai, pair, ak, b + 32, bk, k, lowest);
      }
    }
    for (; i < m; i += 2) {
      const last = i + 1 == m;
      const d = last ? c : c + ldc;
      if (narrow && adds) {
        memory.copy(Scratch.tile(), c, usize(cols) << 2);
        memory.copy(Scratch.tile() + 64, d, usize(cols) << 2);
      }
      const c0 = narrow ? Scratch.tile() : c;
      const c1 = narrow || last ? Scratch.tile() + 64 : d;
      const f0 = adds ? c0 : start;
      const f1 = adds ? (last ? c0 : c1) : last ? start : start + step;
      Tile.run(c0, c1, f0, f1, a, last ? a : a + ai, ak, b, bk, k, lowest);
      if (narrow) {
        memory.copy(c, Scratch.tile(), usize(cols) << 2);
        if (!last) memory.copy(d, Scratch.tile() + 64, usize(cols) << 2);
      }
      c = d + ldc;
      a += pair;
      start += 2 * step;
    }
  }

  /**
   * Four columns of B against `m` rows of A, eight at a time, packed as Pack.pairs does: c = Σ a b, or c += where `adds`. Up to
   * seven rows behind the last are written too. Sums are those of a whole panel.
   */
  static narrow(
    c: usize,
    ldc: usize,
    a: usize,
    pair: usize,
    b: usize,
    bk: usize,
    m: i32,
    k: i32,
    adds: bool,
  ): void {
    for (; m > 0; m -= 8, c += 8 * ldc, a += 4 * pair) Tile.eight(c, ldc, a, pair, b, bk, k, adds);
  }
  private static eight(
    c: usize,
    ldc: usize,
    a: usize,
    pair: usize,
    b: usize,
    bk: usize,
    k: i32,
    adds: bool,
  ): void {
    let a1 = a + pair;
    let a2 = a1 + pair;
    let a3 = a2 + pair;
    let p0 = f32x4.splat(0);
    let p1 = p0;
    let p2 = p0;
    let p3 = p0;
    let p4 = p0;
    let p5 = p0;
    let p6 = p0;
    let p7 = p0;
    for (; k > 0; k--) {
      const x = v128.load(b);
      p0 = Tile.step(p0, v128.load32_splat(a), x);
      p1 = Tile.step(p1, v128.load32_splat(a, 4), x);
      p2 = Tile.step(p2, v128.load32_splat(a1), x);
      p3 = Tile.step(p3, v128.load32_splat(a1, 4), x);
      p4 = Tile.step(p4, v128.load32_splat(a2), x);
      p5 = Tile.step(p5, v128.load32_splat(a2, 4), x);
      p6 = Tile.step(p6, v128.load32_splat(a3), x);
      p7 = Tile.step(p7, v128.load32_splat(a3, 4), x);
      a += 8;
      a1 += 8;
      a2 += 8;
      a3 += 8;
      b += bk;
    }
    const from = adds ? c : ZEROS;
    const step: usize = adds ? ldc : 0;
    v128.store(c, f32x4.add(v128.load(from), p0));
    v128.store(c + ldc, f32x4.add(v128.load(from + step), p1));
    v128.store(c + 2 * ldc, f32x4.add(v128.load(from + 2 * step), p2));
    v128.store(c + 3 * ldc, f32x4.add(v128.load(from + 3 * step), p3));
    v128.store(c + 4 * ldc, f32x4.add(v128.load(from + 4 * step), p4));
    v128.store(c + 5 * ldc, f32x4.add(v128.load(from + 5 * step), p5));
    v128.store(c + 6 * ldc, f32x4.add(v128.load(from + 6 * step), p6));
    v128.store(c + 7 * ldc, f32x4.add(v128.load(from + 7 * step), p7));
  }
}
