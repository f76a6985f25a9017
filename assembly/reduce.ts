// Reductions.
import { Total } from './update';

function fold(kind: i32, o: usize, x: usize, outer: i32, n: i32, inner: i32): void {
  for (let i = 0; i < outer; i++)
    for (let j = 0; j < inner; j++) {
      const at = x + (usize(i * n * inner + j) << 2);
      let total: f64 = kind == 1 ? 1 : 0;
      let best = 0;
      for (let k = 0; k < n; k++) {
        const v = f64(f32.load(at + (usize(k * inner) << 2)));
        if (kind == 0) total += v;
        else if (kind == 1) total *= v;
        else {
          const old = f64(f32.load(at + (usize(best * inner) << 2)));
          if (old == old && (v != v || (kind & 1 ? v < old : v > old))) best = k;
        }
      }
      if (kind >= 4) total = best;
      else if (kind >= 2) total = f64(f32.load(at + (usize(best * inner) << 2)));
      f32.store(o + (usize(i * inner + j) << 2), f32(total));
    }
}
export function sum(o: usize, x: usize, outer: i32, n: i32, inner: i32): void {
  fold(0, o, x, outer, n, inner);
}
export function prod(o: usize, x: usize, outer: i32, n: i32, inner: i32): void {
  fold(1, o, x, outer, n, inner);
}
export function max(o: usize, x: usize, outer: i32, n: i32, inner: i32): void {
  fold(2, o, x, outer, n, inner);
}
export function min(o: usize, x: usize, outer: i32, n: i32, inner: i32): void {
  fold(3, o, x, outer, n, inner);
}
export function argmax(o: usize, x: usize, outer: i32, n: i32, inner: i32): void {
  fold(4, o, x, outer, n, inner);
}
export function argmin(o: usize, x: usize, outer: i32, n: i32, inner: i32): void {
  fold(5, o, x, outer, n, inner);
}
export function cumsum(o: usize, x: usize, outer: i32, n: i32, inner: i32, reverse: i32): void {
  for (let i = 0; i < outer; i++)
    for (let j = 0; j < inner; j++) {
      let total: f64 = 0;
      for (let k = 0; k < n; k++) {
        const at = usize((i * n + (reverse ? n - 1 - k : k)) * inner + j) << 2;
        total += f64(f32.load(x + at));
        f32.store(o + at, f32(total));
      }
    }
}
function soft(log: bool, o: usize, x: usize, rows: i32, cols: i32): void {
  const row = usize(cols) << 2;
  for (let i = 0; i < rows; i++, o += row, x += row) {
    let top: f32 = -Infinity;
    for (let k: usize = 0; k < row; k += 4) top = f32.max(top, f32.load(x + k));
    let total: f64 = 0;
    for (let k: usize = 0; k < row; k += 4) total += Math.exp(f64(f32.load(x + k)) - top);
    const l = Math.log(total);
    for (let k: usize = 0; k < row; k += 4) {
      const d = f64(f32.load(x + k)) - top;
      f32.store(o + k, f32(log ? d - l : Math.exp(d) / total));
    }
  }
}
export function softmax(o: usize, x: usize, rows: i32, cols: i32): void {
  soft(false, o, x, rows, cols);
}
export function logSoftmax(o: usize, x: usize, rows: i32, cols: i32): void {
  soft(true, o, x, rows, cols);
}
function softGrad(log: bool, o: usize, g: usize, y: usize, rows: i32, cols: i32): void {
  const row = usize(cols) << 2;
  for (let i = 0; i < rows; i++, o += row, g += row, y += row) {
    let total: f64 = 0;
    for (let k: usize = 0; k < row; k += 4) total += f64(f32.load(g + k)) * (log ? 1 : f64(f32.load(y + k)));
    for (let k: usize = 0; k < row; k += 4) {
      const a = f64(f32.load(g + k));
      const b = f64(f32.load(y + k));
      f32.store(o + k, f32(log ? a - Math.exp(b) * total : b * (a - total)));
    }
  }
}
export function softmaxGrad(o: usize, g: usize, y: usize, rows: i32, cols: i32): void {
  softGrad(false, o, g, y, rows, cols);
}
export function logSoftmaxGrad(o: usize, g: usize, y: usize, rows: i32, cols: i32): void {
  softGrad(true, o, g, y, rows, cols);
}
export function norm2(o: usize, x: usize, n: i32): void {
  let total: f64 = 0;
  for (let k = 0; k < n; k++) {
    const v = f64(f32.load(x + (usize(k) << 2)));
    total += v * v;
  }
  Total.store(o, Math.sqrt(total));
}
export function dot(o: usize, a: usize, b: usize, n: i32): void {
  let total: f64 = 0;
  for (let k = 0; k < n; k++)
    total += f64(f32.load(a + (usize(k) << 2))) * f64(f32.load(b + (usize(k) << 2)));
  Total.store(o, total);
}
