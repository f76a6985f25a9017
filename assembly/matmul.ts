// Matrix products, row-major: blocks of B are packed into panels of 16 columns, A is read where it lies, or packed when it
// is stored transposed and large. Sums run in the order of k within blocks of 256, whether B is packed or not.
import { Pack } from './pack';
import { Epilogue, RELU } from './epilogue';
import { Scratch } from './scratch';
import { DEPTH, HEIGHT, PANEL, Tile, WIDTH } from './tile';
import { Vector } from './vector';

/** Largest operand, in bytes, that is read in place although its rows are far apart: it stays in L1. */
const IN_PLACE: usize = 24576;

/** Whether a block of op(A) is packed: when its rows are not its memory order and it is too large for L1. */
class Left {
  @inline static packs(ta: i32, m: i32, k: i32, lda: usize): bool {
    return ta != 0 && m > 2 && usize(k) * lda > IN_PLACE;
  }
}

/**
 * C = act(from + alpha op(A) op(B) + bias + residual), from = C where `adds`, else 0. Strides in bytes; the residual lies as C
 * does, `residual` bytes after it unless that is 0.
 */
export function product(
  c: usize,
  a: usize,
  b: usize,
  bias: usize,
  residual: usize,
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
  act: i32,
): void {
  if (m <= 0 || n <= 0) return;
  if (Vector.suits(m, n, k)) {
    Vector.product(c, a, b, bias, m, n, k, ta, tb, lda, ldb, ldc, alpha, adds);
    Epilogue.finish(c, ldc, m, n, 0, residual, act);
    return;
  }
  // One pass over B is enough when A has few rows; a B that fits L1 needs no packing either.
  const direct = tb == 0 && alpha == 1 && (m <= 4 || usize(k) * ldb <= IN_PLACE);
  // A tile begins with the bias, which is the same as adding it to a sum, but not to the first of several, nor to C.
  const begins = k <= DEPTH && !adds;
  const after = (begins ? 0 : bias) | residual;
  for (let j = 0; j < n; j += WIDTH) {
    const width = min(WIDTH, n - j);
    let p = 0;
    do {
      const depth = min(DEPTH, k - p);
      const at = b + (tb ? usize(j) * ldb + (usize(p) << 2) : usize(p) * ldb + (usize(j) << 2));
      if (!direct) packB(at, tb, ldb, depth, width, alpha);
      const last = p + depth >= k;
      const lowest: f32 = last && act == RELU && !after ? 0 : -Infinity;
      for (let i = 0; i < m; i += HEIGHT) {
        const height = min(HEIGHT, m - i);
        const left = a + (ta ? usize(p) * lda + (usize(i) << 2) : usize(i) * lda + (usize(p) << 2));
        const to = c + usize(i) * ldc + (usize(j) << 2);
        const row = bias ? bias + (usize(j) << 2) : 0;
        const start = begins ? row : 0;
        block(to, left, at, start, height, width, depth, ta, lda, ldb, ldc, direct, adds || p > 0, lowest);
        if (last && (after || act > RELU))
          Epilogue.finish(to, ldc, height, width, begins ? 0 : row, residual, act);
      }
      p += DEPTH;
    } while (p < k);
  }
}

function packB(b: usize, tb: i32, ldb: usize, depth: i32, width: i32, alpha: f32): void {
  const panel = usize(depth) << 6;
  let to = Scratch.b();
  for (let j = 0; j < width; j += PANEL, to += panel) {
    const cols = min(PANEL, width - j);
    if (tb) Pack.columns(to, b + usize(j) * ldb, ldb, depth, cols, alpha);
    else Pack.rows(to, b + (usize(j) << 2), ldb, depth, cols, alpha);
  }
}

function block(
  c: usize,
  a: usize,
  b: usize,
  bias: usize,
  m: i32,
  n: i32,
  k: i32,
  ta: i32,
  lda: usize,
  ldb: usize,
  ldc: usize,
  direct: bool,
  adds: bool,
  lowest: f32,
): void {
  let ai: usize = ta ? 4 : lda;
  let ak: usize = ta ? lda : 4;
  let pair: usize = ai << 1;
  if (Left.packs(ta, m, k, lda)) {
    Pack.pairs(Scratch.a(), a, lda, m, k);
    a = Scratch.a();
    ai = 4;
    ak = 8;
    pair = usize(k) << 3;
  }
  const panel = usize(k) << 6;
  for (let j = 0; j < n; j += PANEL) {
    const cols = min(PANEL, n - j);
    const at = usize(j) << 2;
    let from = bias ? bias + at : 0;
    let right = Scratch.b() + usize(j >> 4) * panel;
    let bk: usize = 64;
    if (direct && cols == PANEL) {
      right = b + at;
      bk = ldb;
    } else if (direct) {
      right = Scratch.b();
      Pack.rows(right, b + at, ldb, k, cols, 1);
    }
    if (from && cols < PANEL) {
      memory.copy(Scratch.bias(), from, usize(cols) << 2);
      from = Scratch.bias();
    }
    Tile.column(c + at, ldc, cols, a, ai, pair, ak, right, bk, m, k, from, 0, adds, lowest);
  }
}

export function matmul(
  c: usize,
  a: usize,
  b: usize,
  bias: usize,
  residual: usize,
  batch: i32,
  m: i32,
  n: i32,
  k: i32,
  ta: i32,
  tb: i32,
  lda: i32,
  ldb: i32,
  ldc: i32,
  sa: i32,
  sb: i32,
  sc: i32,
  act: i32,
): void {
  // A batch against one right operand is one taller product.
  if (batch > 1 && !ta && sb == 0 && sa == m * lda && sc == m * ldc) {
    m *= batch;
    batch = 1;
  }
  for (let q: usize = 0; q < usize(batch); q++) {
    const pc = c + ((q * usize(sc)) << 2);
    const pa = a + ((q * usize(sa)) << 2);
    const pb = b + ((q * usize(sb)) << 2);
    product(
      pc,
      pa,
      pb,
      bias,
      residual ? residual - c : 0,
      m,
      n,
      k,
      ta,
      tb,
      usize(lda) << 2,
      usize(ldb) << 2,
      usize(ldc) << 2,
      1,
      false,
      act,
    );
  }
}

export function sgemm(
  c: usize,
  a: usize,
  b: usize,
  m: i32,
  n: i32,
  k: i32,
  ta: i32,
  tb: i32,
  lda: i32,
  ldb: i32,
  ldc: i32,
  alpha: f64,
  beta: f64,
): void {
  const row = usize(ldc) << 2;
  const by = f32(alpha);
  const old = f32(beta);
  // beta first, so that the product can be added; a C that is NaN does not survive beta 0.
  if (old != 0 && old != 1) for (let i: usize = 0; i < usize(m); i++) times(c + i * row, n, old);
  // alpha 0 does not read A and B.
  const depth = by == 0 ? 0 : k;
  product(c, a, b, 0, 0, m, n, depth, ta, tb, usize(lda) << 2, usize(ldb) << 2, row, by, old != 0, 0);
}

function times(x: usize, n: i32, by: f32): void {
  const s = f32x4.splat(by);
  const end = x + (usize(n) << 2);
  for (; x + 16 <= end; x += 16) v128.store(x, f32x4.mul(v128.load(x), s));
  for (; x < end; x += 4) f32.store(x, f32.load(x) * by);
}
