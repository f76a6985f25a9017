// The gradient of a convolution by its input the other way round: what each tap gives to all pixels is one product of the
// turned weights with the gradient, read in place, and the taps are then added where they lie in the image. No product is
// with padding or with a zero that the steps put there.
import { Copies } from './copies';
import { Conv } from './geometry';
import { Lines } from './lines';
import { product } from './matmul';
import { Rows } from './rows';
import { Scratch } from './scratch';

/** Bytes of products at a time, half of a small L2; a single channel's may take all of the room. */
const BLOCK: usize = 1 << 18;
const ROOM: usize = 1 << 20;
/** Bytes for copies of the gradient. */
const COPIES: usize = (1 << 20) - 8192;

/** Whether the products of one channel and one row fit. */
export function foldFits(): bool {
  return usize(Conv.r * Conv.s) * Fold.pitch(1) <= ROOM;
}

class Fold {
  /** Bytes from a tap's products to the next one's, with room between: an odd number of cache lines, or they would share sets. */
  @inline static pitch(rows: i32): usize {
    return (((usize(rows * Conv.ow) << 2) + 127) & ~63) | 64;
  }
  @inline static products(): usize {
    return Scratch.spare() + 64;
  }
  @inline static copies(): usize {
    return Scratch.spare() + ROOM + 256;
  }

  /**
   * Adds tap t of `rows` rows of outputs, the first of them row i, or, of steps of 2, that tap and the next one, whose pixels
   * lie between. Returns how many taps these were.
   */
  static tap(gx: usize, from: usize, t: i32, i: i32, rows: i32, pitch: usize): i32 {
    const sw = Conv.sw;
    const y = i * Conv.sh + (t / Conv.s) * Conv.dh - Conv.ph;
    const x = (t % Conv.s) * Conv.dw - Conv.pw;
    const top = Lines.first(y, Conv.sh, rows);
    const bottom = Lines.end(y, Conv.sh, rows, Conv.h);
    const left = Lines.first(x, sw, Conv.ow);
    const right = Lines.end(x, sw, Conv.ow, Conv.w);
    const two = sw == 2 && Conv.dw == 1 && (t % Conv.s) + 1 < Conv.s;
    // What the second tap has before the first one, and the first behind the second.
    const start = two ? Lines.first(x + 1, sw, Conv.ow) : left;
    const end = two ? Lines.end(x + 1, sw, Conv.ow, Conv.w) : right;
    const line = usize(Conv.ow) << 2;
    const step = usize(Conv.sh * Conv.w) << 2;
    gx += usize((y + top * Conv.sh) * Conv.w + x) << 2;
    from += usize(top) * line;
    for (let k = top; k < bottom; k++, gx += step, from += line) {
      const to = gx + (usize(left * sw) << 2);
      const at = from + (usize(left) << 2);
      if (sw == 1) Fold.row(to, at, right - left);
      else if (two) {
        Fold.apart(gx + (usize(start * sw + 1) << 2), from + pitch + (usize(start) << 2), left - start);
        Fold.both(to, at, at + pitch, end - left);
        Fold.apart(gx + (usize(end * sw) << 2), from + (usize(end) << 2), right - end);
      } else if (sw == 2) Fold.second(to, at, right - left);
      else Fold.apart(to, at, right - left);
    }
    return two ? 2 : 1;
  }
  /** Whether rows of outputs are as long as the image's, and taps reach no further than the room between them. */
  static even(): bool {
    const steps = Conv.sh == 1 && Conv.sw == 1;
    return steps && Conv.ow == Conv.w && Conv.pw <= 16 && (Conv.s - 1) * Conv.dw - Conv.pw <= 16;
  }
  /** The same of a whole row of taps, where rows are even: what lies beside the image is made zero first. */
  static taps(gx: usize, from: usize, t: i32, i: i32, rows: i32, pitch: usize): i32 {
    const y = i + (t / Conv.s) * Conv.dh - Conv.ph;
    const top = max(0, -y);
    const bottom = min(rows, Conv.h - y);
    if (top >= bottom) return Conv.s;
    const start = usize(top * Conv.ow) << 2;
    const count = (bottom - top) * Conv.ow;
    gx += usize((y + top) * Conv.w) << 2;
    let v = 0;
    for (let k = 0; k < Conv.s; k++) Fold.clear(from + usize(k) * pitch, k * Conv.dw - Conv.pw, rows);
    const step = pitch - (usize(Conv.dw) << 2);
    from += start + (usize(Conv.pw) << 2);
    for (; v + 3 <= Conv.s; v += 3, from += 3 * step)
      Fold.three(gx, from, from + step, from + 2 * step, count);
    for (; v < Conv.s; v++, from += step) Fold.row(gx, from, count);
    return Conv.s;
  }
  /** Zeros for the columns that come to lie beside the image when row after row is moved by x, and for what is around them. */
  private static clear(from: usize, x: i32, rows: i32): void {
    const line = usize(Conv.ow) << 2;
    const bytes = usize(abs(x)) << 2;
    // To the left they are the first columns of rows, and of the row behind; to the right the last, and of the one before.
    const end = from + usize(rows) * line;
    let at = x < 0 ? from : from - bytes;
    for (; at <= end; at += line) for (let q: usize = 0; q < bytes; q += 4) f32.store(at + q, 0);
  }
  private static three(to: usize, a: usize, b: usize, c: usize, count: i32): void {
    const end = to + (usize(count & ~3) << 2);
    for (; to < end; to += 16, a += 16, b += 16, c += 16) {
      const sum = f32x4.add(f32x4.add(v128.load(a), v128.load(b)), v128.load(c));
      v128.store(to, f32x4.add(v128.load(to), sum));
    }
    for (count &= 3; count > 0; count--, to += 4, a += 4, b += 4, c += 4)
      f32.store(to, f32.load(to) + (f32.load(a) + f32.load(b) + f32.load(c)));
  }

  @inline private static add(to: usize, v: v128): void {
    v128.store(to, f32x4.add(v128.load(to), v));
  }
  private static row(to: usize, from: usize, count: i32): void {
    for (; count >= 4; count -= 4, to += 16, from += 16) Fold.add(to, v128.load(from));
    if (count & 2) {
      v128.store64_lane(to, f32x4.add(v128.load64_zero(to), v128.load64_zero(from)), 0);
      to += 8;
      from += 8;
    }
    if (count & 1) f32.store(to, f32.load(to) + f32.load(from));
  }
  /** To every second pixel. The last vector holds seven: an eighth may lie outside. */
  private static second(to: usize, from: usize, count: i32): void {
    const zero = f32x4.splat(0);
    for (; count >= 4; count -= 4, to += 32, from += 16) {
      const v = v128.load(from);
      Fold.add(to, i32x4.shuffle(v, zero, 0, 4, 1, 4));
      if (count > 4) Fold.add(to + 16, i32x4.shuffle(v, zero, 2, 4, 3, 4));
      else Fold.add(to + 12, i32x4.shuffle(v, zero, 4, 2, 4, 3));
    }
    Fold.apart(to, from, count);
  }
  /**
   * Every second row and column of a plane from a single tap, and zeros elsewhere. Rows go down, so what a vector writes
   * behind its row is overwritten; the last one ends with the plane.
   */
  static alone(to: usize, from: usize): void {
    const row = usize(Conv.w) << 2;
    const end = to + Conv.inPlane();
    const zero = f32x4.splat(0);
    for (; to < end; to += 2 * row) {
      let x = to;
      let n = Conv.ow;
      const room = x + (usize(n) << 3) <= end ? 0 : 4;
      for (; n >= 4 + room; n -= 4, x += 32, from += 16) {
        const v = v128.load(from);
        v128.store(x, i32x4.shuffle(v, zero, 0, 4, 1, 4));
        v128.store(x, i32x4.shuffle(v, zero, 2, 4, 3, 4), 16);
      }
      for (; n > 0; n--, x += 8, from += 4) {
        f32.store(x, f32.load(from));
        if (x + 4 < to + row) f32.store(x, 0, 4);
      }
      const below = to + row;
      if (below == end) return;
      let q: usize = 0;
      for (; q + 16 <= row; q += 16) v128.store(below + q, zero);
      for (; q < row; q += 4) f32.store(below + q, 0);
    }
  }
  /** From two taps in turn. */
  private static both(to: usize, a: usize, b: usize, count: i32): void {
    for (; count >= 4; count -= 4, to += 32, a += 16, b += 16) {
      const even = v128.load(a);
      const odd = v128.load(b);
      Fold.add(to, i32x4.shuffle(even, odd, 0, 4, 1, 5));
      Fold.add(to + 16, i32x4.shuffle(even, odd, 2, 6, 3, 7));
    }
    for (; count > 0; count--, to += 8, a += 4, b += 4) {
      f32.store(to, f32.load(to) + f32.load(a));
      f32.store(to, f32.load(to, 4) + f32.load(b), 4);
    }
  }
  private static apart(to: usize, from: usize, count: i32): void {
    for (const step = usize(Conv.sw) << 2; count > 0; count--, to += step, from += 4)
      f32.store(to, f32.load(to) + f32.load(from));
  }
}

/** What goes by at a time. */
class Block {
  static channels: i32 = 0;
  static rows: i32 = 0;
  /** Bytes from one tap's products to the next one's. */
  static pitch: usize = 0;
  /** A single tap without steps: products are the gradient itself. */
  static direct: bool = false;
  /** A single tap in steps of 2, all of it at a time: nothing is added to anything. */
  static alone: bool = false;
  /** Whether planes of the gradient are copied, lest they share sets of L1. */
  static copied: bool = false;
  /** Whether rows of taps are added at a time. */
  static even: bool = false;

  static choose(): void {
    const taps = Conv.r * Conv.s;
    const single = taps == 1 && Conv.ph == 0 && Conv.pw == 0;
    Block.direct = single && Conv.oh == Conv.h && Conv.ow == Conv.w;
    Block.even = Fold.even();
    Block.rows = Conv.oh;
    Block.pitch = Conv.inPlane();
    Block.channels = Conv.cg;
    if (!Block.direct) {
      while (usize(taps) * Fold.pitch(Block.rows) > ROOM) Block.rows = (Block.rows + 1) >> 1;
      Block.pitch = Fold.pitch(Block.rows);
      Block.channels = max(1, min(Conv.cg, i32(BLOCK / (usize(taps) * Block.pitch))));
    }
    Block.alone = single && Conv.sh == 2 && Conv.sw == 2 && Block.rows == Conv.oh;
    Copies.over(Conv.oh, Conv.ow, 1, 1, 1, 1, 0, 0, 1, 1);
    Copies.cut(Block.rows, Conv.ow);
    Block.copied = !Copies.none() && usize(Conv.kg) * Copies.channel <= COPIES;
    Rows.rows = Conv.kg;
    Rows.ins = Conv.kg;
    Rows.channel = Block.copied ? Copies.channel : Conv.outPlane();
    Rows.inn = usize(Conv.cg * taps) << 2;
    Rows.out = 4;
    Rows.taps = 1;
    Rows.tap(0, 0, 0);
  }
  /** Outputs at a time: the last rows may be fewer. */
  @inline static least(): i32 {
    return (((Conv.oh - 1) % Block.rows) + 1) * Conv.ow;
  }
}

export function fold(gx: usize, g: usize, wt: usize): void {
  const taps = Conv.r * Conv.s;
  Block.choose();
  for (let group = Conv.from; group < Conv.to; group++)
    for (let e = 0; e < Conv.cg; e += Block.channels) {
      const f = group * Conv.kg;
      const some = min(Block.channels, Conv.cg - e);
      const left = wt + ((usize(f * Conv.cg + e) * usize(taps)) << 2);
      const listed = Rows.fits(Block.least(), some * taps);
      if (listed) Rows.fill(left, 0, 0, some * taps);
      for (let q = 0; q < Conv.n; q++) {
        const to = gx + usize(q * Conv.c + group * Conv.cg + e) * Conv.inPlane();
        const from = g + usize(q * Conv.k + f) * Conv.outPlane();
        if (!Block.direct && !Block.alone) memory.fill(to, 0, usize(some) * Conv.inPlane());
        for (let i = 0; i < Conv.oh; i += Block.rows) image(to, from, left, some, i, listed);
      }
    }
}

/** Adds what the rows of outputs from the i-th on give to `some` channels of an image, whose weights have been listed or not. */
function image(gx: usize, g: usize, wt: usize, some: i32, i: i32, listed: bool): void {
  const taps = Conv.r * Conv.s;
  const height = min(Block.rows, Conv.oh - i);
  const count = height * Conv.ow;
  const at = Block.direct ? gx : Fold.products();
  let from = g + (usize(i * Conv.ow) << 2);
  if (listed) {
    if (Block.copied) {
      Copies.fill(Fold.copies(), g, Conv.kg, i, 0);
      from = Fold.copies();
    }
    Rows.run(at, Block.pitch, from, some * taps, count, -Infinity);
  } else {
    const ld = Conv.outPlane();
    product(at, wt, from, 0, 0, some * taps, count, Conv.kg, 1, 0, Rows.inn, ld, Block.pitch, 1, false, 0);
  }
  if (Block.direct) return;
  if (Block.alone) {
    for (let e: usize = 0; e < usize(some); e++) Fold.alone(gx + e * Conv.inPlane(), at + e * Block.pitch);
    return;
  }
  for (let t = 0; t < some * taps;) {
    const to = gx + usize(t / taps) * Conv.inPlane();
    const products = at + usize(t) * Block.pitch;
    if (Block.even) t += Fold.taps(to, products, t % taps, i, height, Block.pitch);
    else t += Fold.tap(to, products, t % taps, i, height, Block.pitch);
  }
}
