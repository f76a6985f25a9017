// Convolutions of few terms, for which packing a panel would cost as much as its sums. An image is copied once, padded, and
// split by the phases of the steps; there a tap reads four neighbouring outputs' pixels as one vector, wherever they start.
import { Conv } from './geometry';
import { Epilogue, RELU } from './epilogue';
import { Part } from './part';
import { Scratch } from './scratch';
import { Lanes } from './simd';
import { MOST_TAPS } from './window';

/** Bytes for the copied planes, and for the terms. */
const PLANES: usize = 1 << 20;
const TERMS: usize = 1 << 20;
/** With more terms what a tile reads leaves L1, and packing takes little of the time, unless it is for a few outputs. */
const MOST_TERMS: i32 = 160;
const FEW_OUTPUTS: i32 = 8;
const MOST_TERMS_OF_FEW: i32 = 1024;

/** One convolution as it is computed here: a phase of a gradient by the input is one too, of what it is given. */
export class Few {
  /** What windows look at, their steps, and the padding before it. */
  static h: i32 = 0;
  static w: i32 = 0;
  static sh: i32 = 0;
  static sw: i32 = 0;
  static ph: i32 = 0;
  static pw: i32 = 0;
  /** Size of the outputs. */
  static oh: i32 = 0;
  static ow: i32 = 0;
  /** Channels and outputs of a group, and taps of a window. */
  static ins: i32 = 0;
  static outs: i32 = 0;
  static taps: i32 = 0;
  /** Bytes from one output's weights to the next, and from one input's. */
  static out: usize = 0;
  static inn: usize = 0;
  /** Bytes from one image to the next. */
  static from: usize = 0;
  static to: usize = 0;

  /** `dy` and `dx`: how far the last taps lie from the first. */
  static over(h: i32, w: i32, sh: i32, sw: i32, ph: i32, pw: i32, oh: i32, ow: i32, dy: i32, dx: i32): void {
    Few.h = h;
    Few.w = w;
    Few.sh = sh;
    Few.sw = sw;
    Few.ph = ph;
    Few.pw = pw;
    Few.oh = oh;
    Few.ow = ow;
    Few.taps = 0;
    Copies.rows = oh + dy / sh;
    Copies.cols = ow + dx / sw;
  }
  /** Adds a tap, which lies at (y, x) of the padded image for the first output, and its weight's distance in bytes. */
  static tap(y: i32, x: i32, weight: i32): void {
    const plane = usize((y % Few.sh) * Few.sw + (x % Few.sw)) * Copies.plane();
    const at = Taps.at(Few.taps++);
    store<usize>(at, plane + (usize((y / Few.sh) * Copies.cols + x / Few.sw) << 2));
    store<i32>(at, weight, 4);
  }
  /** Makes the convolution at hand the one to compute. */
  static forward(): void {
    const dy = (Conv.r - 1) * Conv.dh;
    const dx = (Conv.s - 1) * Conv.dw;
    Few.over(Conv.h, Conv.w, Conv.sh, Conv.sw, Conv.ph, Conv.pw, Conv.oh, Conv.ow, dy, dx);
    Few.ins = Conv.cg;
    Few.outs = Conv.kg;
    Few.inn = usize(Conv.r * Conv.s) << 2;
    Few.out = usize(Conv.cg) * Few.inn;
    Few.from = usize(Conv.c) * Conv.inPlane();
    Few.to = usize(Conv.k) * Conv.outPlane();
    if (Conv.r * Conv.s > MOST_TAPS) return;
    for (let u = 0; u < Conv.r; u++)
      for (let v = 0; v < Conv.s; v++) Few.tap(u * Conv.dh, v * Conv.dw, (u * Conv.s + v) << 2);
  }
  @inline static terms(): i32 {
    return Few.ins * Few.taps;
  }
  @inline static inPlane(): usize {
    return usize(Few.h * Few.w) << 2;
  }
  @inline static outPlane(): usize {
    return usize(Few.oh * Few.ow) << 2;
  }
  /** Whether this is a way: a copy has to be read more than once, a row needs a vector, and all must fit. */
  static fits(): bool {
    const most = Few.outs > FEW_OUTPUTS ? MOST_TERMS : MOST_TERMS_OF_FEW;
    if (Conv.r * Conv.s == 1 || Few.taps == 0 || Few.terms() > most || Few.ow < 4 || Few.oh < 1) return false;
    return Copies.size() <= PLANES && usize((Few.outs + 1) >> 1) * Terms.pair() <= TERMS;
  }
}

/** Where the taps lie in a channel's copy, and their weights. */
class Taps {
  @inline static at(t: i32): usize {
    return Scratch.b() + (usize(t) << 3);
  }
}

/** The copies: channel e's pixels (i sh + a, j sw + b), counted from the padding's corner, are plane (e, a, b). */
class Copies {
  static rows: i32 = 0;
  static cols: i32 = 0;

  @inline static plane(): usize {
    return usize(Copies.rows * Copies.cols) << 2;
  }
  /** All planes of a channel. */
  @inline static channel(): usize {
    return usize(Few.sh * Few.sw) * Copies.plane();
  }
  @inline static size(): usize {
    return usize(Few.ins) * Copies.channel();
  }
  @inline static start(): usize {
    return Scratch.a();
  }

  /** Copies a group's planes of an image; what lies outside was set to zero before the first. */
  static fill(x: usize): void {
    let to = Copies.start();
    for (let e = 0; e < Few.ins; e++, x += Few.inPlane())
      for (let a = 0; a < Few.sh; a++)
        for (let b = 0; b < Few.sw; b++, to += Copies.plane()) Copies.phase(to, x, a, b);
  }
  private static phase(to: usize, x: usize, a: i32, b: i32): void {
    // Columns of the image, counted from the first of the phase that is inside.
    const first = Few.pw > b ? (Few.pw - b + Few.sw - 1) / Few.sw : 0;
    const behind = Few.w + Few.pw - b;
    const last = behind > 0 ? min(Copies.cols, (behind - 1) / Few.sw + 1) : 0;
    if (first >= last) return;
    for (let i = 0; i < Copies.rows; i++) {
      const y = i * Few.sh + a - Few.ph;
      if (u32(y) >= u32(Few.h)) continue;
      const from = x + (usize(y * Few.w + first * Few.sw + b - Few.pw) << 2);
      Copies.line(to + (usize(i * Copies.cols + first) << 2), from, last - first);
    }
  }
  private static line(to: usize, from: usize, count: i32): void {
    const end = to + (usize(count) << 2);
    if (Few.sw == 1) for (; to + 16 <= end; to += 16, from += 16) v128.store(to, v128.load(from));
    // Eight pixels give four; a fifth is still to come, so the eighth is inside.
    if (Few.sw == 2)
      for (; to + 20 <= end; to += 16, from += 32)
        v128.store(to, i32x4.shuffle(v128.load(from), v128.load(from, 16), 0, 2, 4, 6));
    for (const step = usize(Few.sw) << 2; to < end; to += 4, from += step) f32.store(to, f32.load(from));
  }
}

/** The terms of two outputs, a record each: where the tap lies, and both weights. Before them, both biases. */
class Terms {
  @inline static start(): usize {
    return Scratch.a() + PLANES;
  }
  @inline static pair(): usize {
    return usize(Few.terms() + 1) << 4;
  }
  static fill(wt: usize, bias: usize, first: i32, last: i32): void {
    let to = Terms.start();
    for (let f = first; f < last; f += 2) {
      const next: usize = f + 1 < last ? 1 : 0;
      f32.store(to, bias ? f32.load(bias + (usize(f) << 2)) : 0);
      f32.store(to, bias ? f32.load(bias + ((usize(f) + next) << 2)) : 0, 4);
      to += 16;
      for (let e = 0; e < Few.ins; e++) {
        const weights = wt + usize(f) * Few.out + usize(e) * Few.inn;
        const copy = Copies.start() + usize(e) * Copies.channel();
        for (let t = 0; t < Few.taps; t++, to += 16) {
          const from = weights + load<u32>(Taps.at(t), 4);
          store<usize>(to, copy + load<usize>(Taps.at(t)));
          f32.store(to, f32.load(from), 4);
          f32.store(to, f32.load(from + next * Few.out), 8);
        }
      }
    }
  }
}

/** y = act(x * w + bias + residual) for the outputs `first` to `last` of each group. */
export function few(
  y: usize,
  x: usize,
  wt: usize,
  bias: usize,
  away: usize,
  first: i32,
  last: i32,
  act: i32,
): void {
  memory.fill(Copies.start(), 0, Copies.size());
  const lowest: f32 = act == RELU && !away ? 0 : -Infinity;
  // Weights lie as the convolution has them: by its outputs first.
  const group = usize(Conv.kg * Conv.cg * Conv.r * Conv.s) << 2;
  for (let g = 0; g < Conv.groups; g++) {
    Terms.fill(wt + usize(g) * group, bias ? bias + (usize(g * Few.outs) << 2) : 0, first, last);
    for (let q = 0; q < Conv.n; q++) {
      Copies.fill(x + usize(q) * Few.from + usize(g * Few.ins) * Few.inPlane());
      const to = y + usize(q) * Few.to + usize(g * Few.outs + first) * Few.outPlane();
      image(to, last - first, lowest);
      if (away || act > RELU) Epilogue.finish(to, 0, 1, (last - first) * Few.oh * Few.ow, 0, away, act);
    }
  }
}

/** The same without an epilogue for pixels that lie apart: output (i, j) goes to `rows` i + `cols` j, in bytes. */
export function fewApart(y: usize, x: usize, wt: usize, plane: usize, rows: usize, cols: usize): void {
  memory.fill(Copies.start(), 0, Copies.size());
  const group = usize(Conv.kg * Conv.cg * Conv.r * Conv.s) << 2;
  for (let g = 0; g < Conv.groups; g++) {
    Terms.fill(wt + usize(g) * group, 0, 0, Few.outs);
    for (let q = 0; q < Conv.n; q++) {
      Copies.fill(x + usize(q) * Few.from + usize(g * Few.ins) * Few.inPlane());
      image(Apart.start(), Few.outs, -Infinity);
      Apart.spread(y + usize(q) * Few.to + usize(g * Few.outs) * plane, plane, rows, cols);
    }
  }
}

/** Outputs of an image on their way to places that do not lie side by side. */
class Apart {
  @inline static start(): usize {
    return Terms.start() + TERMS;
  }
  static size(): usize {
    return usize(Few.outs) * Few.outPlane();
  }
  static spread(y: usize, plane: usize, rows: usize, cols: usize): void {
    let from = Apart.start();
    for (let f = 0; f < Few.outs; f++, y += plane) {
      let row = y;
      for (let i = 0; i < Few.oh; i++, row += rows)
        for (let to = row, end = row + usize(Few.ow) * cols; to < end; to += cols, from += 4)
          f32.store(to, f32.load(from));
    }
  }
}

/** Whether the outputs of an image fit where they wait for being spread. */
export function fitsApart(): bool {
  return Few.fits() && Apart.size() <= (1 << 20) - 8192;
}

/** Where the four vectors of a tile lie: in the copies and in the output, in bytes. */
class Spots {
  @inline static at(): usize {
    return Scratch.offsets();
  }
  static set(q: usize, i: i32, j: i32): void {
    store<i32>(Spots.at() + (q << 2), (i * Copies.cols + j) << 2);
    store<i32>(Spots.at() + (q << 2), (i * Few.ow + j) << 2, 16);
  }
}

/** A row of a tile on its way to the output. */
class Out {
  @inline static put(y: usize, bias: v128, a: v128, b: v128, c: v128, d: v128, lowest: f32): void {
    const low = f32x4.splat(lowest);
    v128.store(y + load<usize>(Spots.at(), 16), f32x4.pmax(f32x4.add(a, bias), low));
    v128.store(y + load<usize>(Spots.at(), 20), f32x4.pmax(f32x4.add(b, bias), low));
    v128.store(y + load<usize>(Spots.at(), 24), f32x4.pmax(f32x4.add(c, bias), low));
    v128.store(y + load<usize>(Spots.at(), 28), f32x4.pmax(f32x4.add(d, bias), low));
  }
}

/** All outputs of an image, four vectors at a time. A row's last vector overlaps the one before it. */
function image(y: usize, outs: i32, lowest: f32): void {
  let i = 0;
  let j = 0;
  while (i < Few.oh) {
    for (let q: usize = 0; q < 4; q++) {
      Spots.set(q, min(i, Few.oh - 1), i < Few.oh ? min(j, Few.ow - 4) : Few.ow - 4);
      j += 4;
      if (j >= Few.ow) {
        j = 0;
        i++;
      }
    }
    tile(y, outs, lowest);
  }
}

/** Four vectors of `outs` outputs, two by two. */
function tile(y: usize, outs: i32, lowest: f32): void {
  const s0 = load<usize>(Spots.at());
  const s1 = load<usize>(Spots.at(), 4);
  const s2 = load<usize>(Spots.at(), 8);
  const s3 = load<usize>(Spots.at(), 12);
  const size = Terms.pair();
  let term = Terms.start();
  const zero = f32x4.splat(0);
  for (; outs > 1; outs -= 2, y += 2 * Few.outPlane()) {
    const bias = term;
    const end = term + size;
    let p0 = zero;
    let p1 = zero;
    let p2 = zero;
    let p3 = zero;
    let q0 = zero;
    let q1 = zero;
    let q2 = zero;
    let q3 = zero;
    for (term += 16; term < end; term += 16) {
      const from = load<usize>(term);
      const a = v128.load32_splat(term, 4);
      const b = v128.load32_splat(term, 8);
      const x0 = v128.load(from + s0);
      p0 = Lanes.madd(a, x0, p0);
      q0 = Lanes.madd(b, x0, q0);
      const x1 = v128.load(from + s1);
      p1 = Lanes.madd(a, x1, p1);
      q1 = Lanes.madd(b, x1, q1);
      const x2 = v128.load(from + s2);
      p2 = Lanes.madd(a, x2, p2);
      q2 = Lanes.madd(b, x2, q2);
      const x3 = v128.load(from + s3);
      p3 = Lanes.madd(a, x3, p3);
      q3 = Lanes.madd(b, x3, q3);
    }
    Out.put(y, v128.load32_splat(bias), p0, p1, p2, p3, lowest);
    Out.put(y + Few.outPlane(), v128.load32_splat(bias, 4), q0, q1, q2, q3, lowest);
  }
  if (outs) last(y, term, s0, s1, s2, s3, lowest);
}

/** The output that an odd number leaves: even terms and odd ones, or four sums would wait for each other. */
function last(y: usize, term: usize, s0: usize, s1: usize, s2: usize, s3: usize, lowest: f32): void {
  const zero = f32x4.splat(0);
  const bias = v128.load32_splat(term);
  const end = term + Terms.pair();
  let p0 = zero;
  let p1 = zero;
  let p2 = zero;
  let p3 = zero;
  let q0 = zero;
  let q1 = zero;
  let q2 = zero;
  let q3 = zero;
  for (term += 16; term < end; term += 32) {
    const from = load<usize>(term);
    const a = v128.load32_splat(term, 4);
    p0 = Lanes.madd(a, v128.load(from + s0), p0);
    p1 = Lanes.madd(a, v128.load(from + s1), p1);
    p2 = Lanes.madd(a, v128.load(from + s2), p2);
    p3 = Lanes.madd(a, v128.load(from + s3), p3);
    if (term + 16 == end) break;
    const next = load<usize>(term, 16);
    const b = v128.load32_splat(term, 20);
    q0 = Lanes.madd(b, v128.load(next + s0), q0);
    q1 = Lanes.madd(b, v128.load(next + s1), q1);
    q2 = Lanes.madd(b, v128.load(next + s2), q2);
    q3 = Lanes.madd(b, v128.load(next + s3), q3);
  }
  Out.put(y, bias, f32x4.add(p0, q0), f32x4.add(p1, q1), f32x4.add(p2, q2), f32x4.add(p3, q3), lowest);
}
