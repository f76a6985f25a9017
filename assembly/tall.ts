// Register tiles for the relaxed build, whose fused multiply-add needs no register for a product. 6 × 8: twelve sums, two
// vectors of B and one of A are the fifteen registers that V8 has. 4 × 8, for what is left, and for V8s that cannot fill the
// other: before 13 all that a turn of a loop reads is read before the first sum, here six registers beside the sums', there
// eight. Sums run in the order of tile.ts, so the tile changes no bit.
import { Lanes } from './simd';

class Out {
  @inline static pair(c: usize, from: usize, low: v128, left: v128, right: v128): void {
    v128.store(c, f32x4.pmax(f32x4.add(v128.load(from), left), low));
    v128.store(c, f32x4.pmax(f32x4.add(v128.load(from, 16), right), low), 16);
  }
}

/** Rows of the tallest tile that the host's V8 can fill, 6 or 4. */
declare const TALLEST: i32;

export class Tall {
  @inline static takesSix(): bool {
    return TALLEST >= 6;
  }

  /**
   * c = max(from + Σ a b, lowest) for six rows of A, in pairs as in Tile.column, and eight columns of B; rows of c `ldc`
   * bytes apart, those of `from` `step` bytes.
   */
  static six(
    c: usize,
    ldc: usize,
    from: usize,
    step: usize,
    a: usize,
    ai: usize,
    pair: usize,
    ak: usize,
    b: usize,
    bk: usize,
    k: i32,
    lowest: f32,
  ): void {
    let a1 = a + ai;
    let a2 = a + pair;
    let a3 = a2 + ai;
    let a4 = a2 + pair;
    let a5 = a4 + ai;
    let l0 = f32x4.splat(0);
    let l1 = l0;
    let l2 = l0;
    let l3 = l0;
    let l4 = l0;
    let l5 = l0;
    let r0 = l0;
    let r1 = l0;
    let r2 = l0;
    let r3 = l0;
    let r4 = l0;
    let r5 = l0;
    for (; k > 0; k--) {
      const left = v128.load(b);
      const right = v128.load(b, 16);
      const x0 = v128.load32_splat(a);
      l0 = Lanes.madd(x0, left, l0);
      r0 = Lanes.madd(x0, right, r0);
      const x1 = v128.load32_splat(a1);
      l1 = Lanes.madd(x1, left, l1);
      r1 = Lanes.madd(x1, right, r1);
      const x2 = v128.load32_splat(a2);
      l2 = Lanes.madd(x2, left, l2);
      r2 = Lanes.madd(x2, right, r2);
      const x3 = v128.load32_splat(a3);
      l3 = Lanes.madd(x3, left, l3);
      r3 = Lanes.madd(x3, right, r3);
      const x4 = v128.load32_splat(a4);
      l4 = Lanes.madd(x4, left, l4);
      r4 = Lanes.madd(x4, right, r4);
      const x5 = v128.load32_splat(a5);
      l5 = Lanes.madd(x5, left, l5);
      r5 = Lanes.madd(x5, right, r5);
      a += ak;
      a1 += ak;
      a2 += ak;
      a3 += ak;
      a4 += ak;
      a5 += ak;
      b += bk;
    }
    const low = f32x4.splat(lowest);
    Out.pair(c, from, low, l0, r0);
    Out.pair(c + ldc, from + step, low, l1, r1);
    Out.pair(c + 2 * ldc, from + 2 * step, low, l2, r2);
    Out.pair(c + 3 * ldc, from + 3 * step, low, l3, r3);
    Out.pair(c + 4 * ldc, from + 4 * step, low, l4, r4);
    Out.pair(c + 5 * ldc, from + 5 * step, low, l5, r5);
  }

  /** The same for four rows of A. */
  static four(
    c: usize,
    ldc: usize,
    from: usize,
    step: usize,
    a: usize,
    ai: usize,
    pair: usize,
    ak: usize,
    b: usize,
    bk: usize,
    k: i32,
    lowest: f32,
  ): void {
    let a1 = a + ai;
    let a2 = a + pair;
    let a3 = a2 + ai;
    let l0 = f32x4.splat(0);
    let l1 = l0;
    let l2 = l0;
    let l3 = l0;
    let r0 = l0;
    let r1 = l0;
    let r2 = l0;
    let r3 = l0;
    for (; k > 0; k--) {
      const left = v128.load(b);
      const right = v128.load(b, 16);
      const x0 = v128.load32_splat(a);
      l0 = Lanes.madd(x0, left, l0);
      r0 = Lanes.madd(x0, right, r0);
      const x1 = v128.load32_splat(a1);
      l1 = Lanes.madd(x1, left, l1);
      r1 = Lanes.madd(x1, right, r1);
      const x2 = v128.load32_splat(a2);
      l2 = Lanes.madd(x2, left, l2);
      r2 = Lanes.madd(x2, right, r2);
      const x3 = v128.load32_splat(a3);
      l3 = Lanes.madd(x3, left, l3);
      r3 = Lanes.madd(x3, right, r3);
      a += ak;
      a1 += ak;
      a2 += ak;
      a3 += ak;
      b += bk;
    }
    const low = f32x4.splat(lowest);
    Out.pair(c, from, low, l0, r0);
    Out.pair(c + ldc, from + step, low, l1, r1);
    Out.pair(c + 2 * ldc, from + 2 * step, low, l2, r2);
    Out.pair(c + 3 * ldc, from + 3 * step, low, l3, r3);
  }
}
