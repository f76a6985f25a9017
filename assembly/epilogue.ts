// What products and convolutions do to their sums at the end: bias, residual and activation, with the same operations as the
// kernels of their own. Outputs were just stored and still lie in the caches.
import { accumulate } from './pairwise';
import { gelu, relu, sigmoid, tanh } from './pointwise';

export const RELU = 1;
const GELU = 2;
const TANH = 3;
const SIGMOID = 4;

export class Epilogue {
  /** `rows` runs of n outputs, `step` bytes apart; the residual's run lies `residual` bytes after each. 0: there is none. */
  static finish(c: usize, step: usize, rows: i32, n: i32, bias: usize, residual: usize, act: i32): void {
    for (; rows > 0; rows--, c += step) {
      if (bias) accumulate(c, bias, n);
      if (residual) Epilogue.join(c, residual, n, act == RELU ? 0 : -Infinity);
      else if (act == RELU) relu(c, c, n);
      if (act == GELU) gelu(c, c, n);
      else if (act == TANH) tanh(c, c, n);
      else if (act == SIGMOID) sigmoid(c, c, n);
    }
  }

  /** max(c + residual, lowest). A run of a convolution is four vectors: calls of the kernels would take longer than their work. */
  @inline private static join(c: usize, residual: usize, n: i32, lowest: f32): void {
    const low = f32x4.splat(lowest);
    for (; n >= 4; n -= 4, c += 16)
      v128.store(c, f32x4.pmax(f32x4.add(v128.load(c), v128.load(c + residual)), low));
    for (; n > 0; n--, c += 4) {
      const x = f32x4.add(v128.load32_splat(c), v128.load32_splat(c + residual));
      v128.store32_lane(c, f32x4.pmax(x, low), 0);
    }
  }
}
