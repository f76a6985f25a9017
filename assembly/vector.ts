// Products with a vector: each element of the matrix is used once, so it is read in memory order and never packed.
import { Run, Together } from './runs';
import { Scratch } from './scratch';

/** Longest vector that the buffers hold, in elements. */
const LONGEST: i32 = 1 << 18;

export class Vector {
  /** Whether c = op(A) op(B) is a row or a column that fits. */
  @inline static suits(m: i32, n: i32, k: i32): bool {
    return (m == 1 || n == 1) && k > 0 && k <= LONGEST && m <= LONGEST && n <= LONGEST;
  }

  /** c = from + alpha op(A) op(B) + bias for m or n of 1, from = c where `adds`, else 0. Strides in bytes. */
  static product(
    c: usize,
    a: usize,
    b: usize,
    bias: usize,
    m: i32,
    n: i32,
    k: i32,
    ta: i32,
    tb: i32,
    lda: usize,
    ldb: usize,
    ldc: usize,
    alpha: f32,
    adds: bool,
  ): void {
    const isRow = m == 1;
    const count = isRow ? n : m;
    const across = isRow ? tb != 0 : ta == 0;
    const matrix = isRow ? b : a;
    const ld = isRow ? ldb : lda;
    if (isRow) Vector.collect(a, ta ? lda : 4, k);
    else Vector.collect(b, tb ? 4 : ldb, k);
    if (across) Vector.dots(matrix, ld, count, k);
    else Vector.mixes(matrix, ld, count, k);
    const step: usize = isRow ? 4 : ldc;
    const biasStep: usize = isRow && bias ? 4 : 0;
    for (let i: usize = 0; i < usize(count); i++, c += step, bias += biasStep) {
      const from: f32 = (adds ? f32.load(c) : 0) + (bias ? f32.load(bias) : 0);
      f32.store(c, from + alpha * f32.load(Scratch.a() + (i << 2)));
    }
  }

  /** The vector, side by side. */
  private static collect(x: usize, step: usize, k: i32): void {
    for (let to = Scratch.b(), end = Scratch.b() + (usize(k) << 2); to < end; to += 4, x += step)
      f32.store(to, f32.load(x));
  }

  /** Scratch.a() = M x, rows of M as long as x. */
  private static dots(matrix: usize, ld: usize, count: i32, k: i32): void {
    for (let i: usize = 0; i < usize(count); i++, matrix += ld)
      f32.store(Scratch.a() + (i << 2), f32(Run.total<Together>(matrix, Scratch.b(), 0, k)));
  }

  /** Scratch.a() = M' x, rows of M as long as Scratch.a(), four at a time. */
  private static mixes(matrix: usize, ld: usize, count: i32, k: i32): void {
    const size = usize(count) << 2;
    memory.fill(Scratch.a(), 0, size);
    let x = Scratch.b();
    for (; k >= 4; k -= 4, x += 16, matrix += 4 * ld) Vector.mixFour(matrix, ld, size, x);
    for (; k > 0; k--, x += 4, matrix += ld) {
      const weight = f32.load(x);
      for (let j: usize = 0; j < size; j += 4)
        f32.store(Scratch.a() + j, f32.load(Scratch.a() + j) + weight * f32.load(matrix + j));
    }
  }

  private static mixFour(m0: usize, ld: usize, size: usize, x: usize): void {
    const m1 = m0 + ld;
    const m2 = m1 + ld;
    const m3 = m2 + ld;
    const x0 = v128.load32_splat(x);
    const x1 = v128.load32_splat(x, 4);
    const x2 = v128.load32_splat(x, 8);
    const x3 = v128.load32_splat(x, 12);
    let j: usize = 0;
    for (const end = size & ~15; j < end; j += 16) {
      const low = f32x4.add(f32x4.mul(x0, v128.load(m0 + j)), f32x4.mul(x1, v128.load(m1 + j)));
      const high = f32x4.add(f32x4.mul(x2, v128.load(m2 + j)), f32x4.mul(x3, v128.load(m3 + j)));
      v128.store(Scratch.a() + j, f32x4.add(v128.load(Scratch.a() + j), f32x4.add(low, high)));
    }
    for (; j < size; j += 4) {
      const low = f32.load(x) * f32.load(m0 + j) + f32.load(x, 4) * f32.load(m1 + j);
      const high = f32.load(x, 8) * f32.load(m2 + j) + f32.load(x, 12) * f32.load(m3 + j);
      f32.store(Scratch.a() + j, f32.load(Scratch.a() + j) + (low + high));
    }
  }
}
