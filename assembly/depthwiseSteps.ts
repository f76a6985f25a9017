// Depthwise convolutions of 3 × 3 in steps of 2 over planes of even size, and their gradients by the input, as depthwise.ts
// walks them: two rows of pixels for each row of outputs, even and odd columns apart.
import { Conv } from './geometry';
import { Lanes } from './simd';
import { Border, Inside } from './strip';

/** A plane of outputs: max(bias + sum, lowest). The last strip overlaps the one before it. */
export function halves(y: usize, x: usize, w: usize, bias: usize, lowest: f32): void {
  const end = usize(Conv.ow - 4) << 2;
  down<Border>(y, x, w, bias, lowest, 0, 4);
  if (end > 16) down<Inside>(y, x, w, bias, lowest, 16, end);
  if (end > 0) down<Inside>(y, x, w, bias, lowest, end, end + 4);
}

/** The strips of outputs that begin `j` bytes from the left edge, 16 more, and so on before `end`. */
function down<L>(y: usize, x: usize, w: usize, bias: usize, lowest: f32, j: usize, end: usize): void {
  const left = changetype<L>(0);
  const line = usize(Conv.w) << 2;
  const row = usize(Conv.ow) << 2;
  const low = f32x4.splat(lowest);
  const w0 = v128.load32_splat(w);
  const w1 = v128.load32_splat(w, 4);
  const w2 = v128.load32_splat(w, 8);
  const w3 = v128.load32_splat(w, 12);
  const w4 = v128.load32_splat(w, 16);
  const w5 = v128.load32_splat(w, 20);
  const w6 = v128.load32_splat(w, 24);
  const w7 = v128.load32_splat(w, 28);
  const w8 = v128.load32_splat(w, 32);
  for (; j < end; j += 16) {
    let from = x + 2 * j;
    // What the row above gives.
    let sum = f32x4.splat(0);
    for (let to = y + j, last = to + Conv.outPlane(); to < last; to += row) {
      let even = Lanes.evens(from);
      let odd = Lanes.odds(from);
      let before = left.beforeEven(from, odd);
      sum = Lanes.madd(w5, odd, Lanes.madd(w4, even, Lanes.madd(w3, before, sum)));
      from += line;
      even = Lanes.evens(from);
      odd = Lanes.odds(from);
      before = left.beforeEven(from, odd);
      sum = Lanes.madd(w8, odd, Lanes.madd(w7, even, Lanes.madd(w6, before, sum)));
      v128.store(to, f32x4.pmax(f32x4.add(v128.load32_splat(bias), sum), low));
      sum = Lanes.madd(w2, odd, Lanes.madd(w1, even, f32x4.mul(w0, before)));
      from += line;
    }
  }
}

/** A plane of the gradient by the input. */
export function doubles(gx: usize, g: usize, w: usize): void {
  const end = usize(Conv.ow - 4) << 2;
  if (end > 0) up<Inside>(gx, g, w, 0, end);
  up<Border>(gx, g, w, end, end + 4);
}

/** What strips of the gradient give to two rows and eight columns each: even columns see one column of it, odd ones two. */
function up<R>(gx: usize, g: usize, w: usize, j: usize, end: usize): void {
  const right = changetype<R>(0);
  const line = usize(Conv.w) << 2;
  const row = usize(Conv.ow) << 2;
  const w0 = v128.load32_splat(w);
  const w1 = v128.load32_splat(w, 4);
  const w2 = v128.load32_splat(w, 8);
  const w3 = v128.load32_splat(w, 12);
  const w4 = v128.load32_splat(w, 16);
  const w5 = v128.load32_splat(w, 20);
  const w6 = v128.load32_splat(w, 24);
  const w7 = v128.load32_splat(w, 28);
  const w8 = v128.load32_splat(w, 32);
  for (; j < end; j += 16) {
    let to = gx + 2 * j;
    let from = g + j;
    const last = from + Conv.outPlane() - row;
    let a = v128.load(from);
    let b = right.behind(from);
    for (;;) {
      Pair.store(to, f32x4.mul(w4, a), Lanes.madd(w3, b, f32x4.mul(w5, a)));
      let even = f32x4.mul(w7, a);
      let odd = Lanes.madd(w6, b, f32x4.mul(w8, a));
      if (from == last) {
        Pair.store(to + line, even, odd);
        break;
      }
      from += row;
      a = v128.load(from);
      b = right.behind(from);
      even = Lanes.madd(w1, a, even);
      odd = Lanes.madd(w0, b, Lanes.madd(w2, a, odd));
      Pair.store(to + line, even, odd);
      to += 2 * line;
    }
  }
}

class Pair {
  @inline static store(to: usize, even: v128, odd: v128): void {
    v128.store(to, i32x4.shuffle(even, odd, 0, 4, 1, 5));
    v128.store(to, i32x4.shuffle(even, odd, 2, 6, 3, 7), 16);
  }
}
