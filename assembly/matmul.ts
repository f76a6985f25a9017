// Matrix products.
import { gelu, sigmoid, tanh } from './pointwise';
function inner(a: usize, b: usize, i: i32, j: i32, k: i32, ta: i32, tb: i32, lda: i32, ldb: i32): f32 {
  let total: f32 = 0;
  for (let p = 0; p < k; p++)
    total +=
      f32.load(a + (usize(ta ? p * lda + i : i * lda + p) << 2)) *
      f32.load(b + (usize(tb ? j * ldb + p : p * ldb + j) << 2));
  return total;
}
export function matmul(
  c: usize,
  a: usize,
  b: usize,
  bias: usize,
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
  for (let q = 0; q < batch; q++)
    for (let i = 0; i < m; i++) {
      const row = c + (usize(q * sc + i * ldc) << 2);
      for (let j = 0; j < n; j++) {
        let y = inner(a + (usize(q * sa) << 2), b + (usize(q * sb) << 2), i, j, k, ta, tb, lda, ldb);
        if (bias) y += f32.load(bias + (usize(j) << 2));
        if (act == 1 && y < 0) y = 0;
        f32.store(row + (usize(j) << 2), y);
      }
      if (act == 2) gelu(row, row, n);
      if (act == 3) tanh(row, row, n);
      if (act == 4) sigmoid(row, row, n);
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
  alpha: f32,
  beta: f32,
): void {
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      const at = c + (usize(i * ldc + j) << 2);
      const y: f32 = alpha == 0 ? f32(0) : alpha * inner(a, b, i, j, k, ta, tb, lda, ldb);
      f32.store(at, beta == 0 ? y : y + beta * f32.load(at));
    }
}
