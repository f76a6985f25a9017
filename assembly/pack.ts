// Packing of matrices into panels that the tile reads in order. Columns beyond the matrix are zeros, so a tile never looks
// outside an operand.
import { Square } from './simd';

export class Pack {
  /** `k` rows of `cols` ≤ 16 columns of a row-major matrix, times alpha; rows `ld` bytes apart. */
  static rows(to: usize, b: usize, ld: usize, k: i32, cols: i32, alpha: f32): void {
    const s = f32x4.splat(alpha);
    if (cols == 16) {
      for (const end = to + (usize(k) << 6); to < end; to += 64, b += ld) {
        v128.store(to, f32x4.mul(v128.load(b), s));
        v128.store(to, f32x4.mul(v128.load(b, 16), s), 16);
        v128.store(to, f32x4.mul(v128.load(b, 32), s), 32);
        v128.store(to, f32x4.mul(v128.load(b, 48), s), 48);
      }
      return;
    }
    memory.fill(to, 0, usize(k) << 6);
    for (const end = to + (usize(k) << 6); to < end; to += 64, b += ld)
      for (let j: usize = 0; j < usize(cols) << 2; j += 4) f32.store(to + j, f32.load(b + j) * alpha);
  }

  /** The same panel of a matrix that is stored transposed: `cols` rows of k numbers, `ld` bytes apart. */
  static columns(to: usize, b: usize, ld: usize, k: i32, cols: i32, alpha: f32): void {
    if (cols < 16) memory.fill(to, 0, usize(k) << 6);
    const s = f32x4.splat(alpha);
    let j = 0;
    for (; j + 4 <= cols; j += 4, b += 4 * ld, to += 16) {
      let p: usize = 0;
      let t = to;
      for (const end = usize(k & ~3) << 2; p < end; p += 16, t += 256) {
        const r0 = f32x4.mul(v128.load(b + p), s);
        const r1 = f32x4.mul(v128.load(b + ld + p), s);
        const r2 = f32x4.mul(v128.load(b + 2 * ld + p), s);
        const r3 = f32x4.mul(v128.load(b + 3 * ld + p), s);
        Square.transpose(t, 64, r0, r1, r2, r3);
      }
      for (const end = usize(k) << 2; p < end; p += 4, t += 64)
        for (let r: usize = 0; r < 4; r++) f32.store(t + 4 * r, f32.load(b + r * ld + p) * alpha);
    }
    for (; j < cols; j++, b += ld, to += 4)
      for (let p: usize = 0; p < usize(k); p++) f32.store(to + (p << 6), f32.load(b + (p << 2)) * alpha);
  }

  /**
   * `m` columns of a row-major matrix of k rows as pairs: strip i holds columns 2i and 2i + 1, side by side, row by row.
   * Sixteen columns at a time, a cache line of the source.
   */
  static pairs(to: usize, a: usize, ld: usize, m: i32, k: i32): void {
    const strip = usize(k) << 3;
    let i = 0;
    for (; i + 16 <= m; i += 16, a += 64, to += 8 * strip) {
      let from = a;
      for (let t = to, end = to + strip; t < end; t += 8, from += ld) {
        const v0 = v128.load(from);
        const v1 = v128.load(from, 16);
        const v2 = v128.load(from, 32);
        const v3 = v128.load(from, 48);
        v128.store64_lane(t, v0, 0);
        v128.store64_lane(t + strip, v0, 1);
        v128.store64_lane(t + 2 * strip, v1, 0);
        v128.store64_lane(t + 3 * strip, v1, 1);
        v128.store64_lane(t + 4 * strip, v2, 0);
        v128.store64_lane(t + 5 * strip, v2, 1);
        v128.store64_lane(t + 6 * strip, v3, 0);
        v128.store64_lane(t + 7 * strip, v3, 1);
      }
    }
    for (; i < m; i += 2, a += 8, to += strip) {
      const second: usize = i + 1 < m ? 4 : 0;
      let from = a;
      for (let t = to, end = to + strip; t < end; t += 8, from += ld) {
        f32.store(t, f32.load(from));
        f32.store(t, f32.load(from + second), 4);
      }
    }
  }
}
