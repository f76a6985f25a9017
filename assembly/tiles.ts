// The transforms of Winograd's F(2 × 2, 3 × 3): y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A for each tile, 2 × 2 outputs and the 4 × 4 inputs
// that they see. Tiles are counted row by row through all images, and lanes are neighbours in a row; of a transformed array
// there are sixteen matrices, `step` bytes apart.
import { Scratch } from './scratch';
import { PANEL } from './tile';

/** Most tiles of a block, which bounds the staged rows. */
export const MOST_TILES: i32 = 256;
/** Lanes that a vector of tiles may write behind the last one, rounded up to whole cache lines. */
export const SLACK: i32 = 16;
/** Bytes of a staged row: two columns a tile, the window's other two, and the rest of a last vector. */
const LINE: usize = usize(2 * MOST_TILES + 16) << 2;

export class Tiles {
  /** The image that the windows look at, and its padding. */
  static h: i32 = 0;
  static w: i32 = 0;
  static ph: i32 = 0;
  static pw: i32 = 0;
  /** The image of the tiles, and how many it has each way. */
  static oh: i32 = 0;
  static ow: i32 = 0;
  static rows: i32 = 0;
  static cols: i32 = 0;
  /** The run at hand, neighbours in a row: which image, which row, the first of them, and how many. */
  static image: i32 = 0;
  static row: i32 = 0;
  static first: i32 = 0;
  static count: i32 = 0;

  static over(h: i32, w: i32, ph: i32, pw: i32, oh: i32, ow: i32): void {
    Tiles.h = h;
    Tiles.w = w;
    Tiles.ph = ph;
    Tiles.pw = pw;
    Tiles.oh = oh;
    Tiles.ow = ow;
    Tiles.rows = (oh + 1) >> 1;
    Tiles.cols = (ow + 1) >> 1;
    memory.fill(Stage.zeros(), 0, LINE);
  }
  @inline static each(): i32 {
    return Tiles.rows * Tiles.cols;
  }
  /** Makes what its row has of the tiles p to `end` the run at hand, and returns how many these are. */
  static run(p: i32, end: i32): i32 {
    Tiles.first = p % Tiles.cols;
    p /= Tiles.cols;
    Tiles.row = p % Tiles.rows;
    Tiles.image = p / Tiles.rows;
    return (Tiles.count = min(
      end - Tiles.row * Tiles.cols - Tiles.image * Tiles.each() - Tiles.first,
      Tiles.cols - Tiles.first,
    ));
  }
}

/** Rows of pixels on their way into tiles. */
export class Stage {
  @inline static lines(): usize {
    return Scratch.b() + (1 << 16);
  }
  @inline static zeros(): usize {
    return Stage.lines() + 4 * LINE;
  }
  /** Two rows of pixels, sixteen planes each. */
  @inline static outputs(): usize {
    return Scratch.b();
  }
  @inline static below(): usize {
    return Scratch.b() + (usize(2 * MOST_TILES) << 6);
  }
}

/** Bᵀ d B, Bᵀ d = (d0 - d2, d1 + d2, d2 - d1, d1 - d3). */
export class Inputs {
  /** Of the run at hand, for `planes` planes of which the first is x: a row of tiles each, `row` bytes apart. */
  static transform(to: usize, step: usize, row: usize, x: usize, planes: i32): void {
    const left = 2 * Tiles.first - Tiles.pw;
    const low = max(0, left);
    const high = min(Tiles.w, left + 2 * Tiles.count + 2);
    const before = usize(low - left) << 2;
    const bytes = usize(max(0, high - low)) << 2;
    for (let i: usize = 0; i < 4; i++) {
      const line = Stage.lines() + i * LINE;
      memory.fill(line, 0, before);
      memory.fill(line + before + bytes, 0, (usize(2 * Tiles.count + 10) << 2) - before - bytes);
    }
    const y = 2 * Tiles.row - Tiles.ph;
    const plane = usize(Tiles.h * Tiles.w) << 2;
    let x0 = Inputs.line(x, y, low);
    let x1 = Inputs.line(x, y + 1, low);
    let x2 = Inputs.line(x, y + 2, low);
    let x3 = Inputs.line(x, y + 3, low);
    const s0 = Inputs.has(y) ? plane : 0;
    const s1 = Inputs.has(y + 1) ? plane : 0;
    const s2 = Inputs.has(y + 2) ? plane : 0;
    const s3 = Inputs.has(y + 3) ? plane : 0;
    for (; planes > 0; planes--, to += row, x0 += s0, x1 += s1, x2 += s2, x3 += s3) {
      Inputs.down(Stage.lines() + before, x0, x1, x2, x3, bytes);
      Inputs.across(to, step, Tiles.count);
    }
  }
  @inline private static has(y: i32): bool {
    return u32(y) < u32(Tiles.h);
  }
  private static line(x: usize, y: i32, column: i32): usize {
    return Inputs.has(y) ? x + (usize(y * Tiles.w + column) << 2) : Stage.zeros();
  }

  /** Staged rows Bᵀ d of four rows of pixels. The last vector overlaps the one before it, so nothing beyond is read. */
  private static down(to: usize, x0: usize, x1: usize, x2: usize, x3: usize, bytes: usize): void {
    if (bytes < 16) {
      for (let q: usize = 0; q < bytes; q += 4) {
        const d1 = f32.load(x1 + q);
        const d2 = f32.load(x2 + q);
        f32.store(to + q, f32.load(x0 + q) - d2);
        f32.store(to + q, d1 + d2, LINE);
        f32.store(to + q, d2 - d1, 2 * LINE);
        f32.store(to + q, d1 - f32.load(x3 + q), 3 * LINE);
      }
      return;
    }
    const last = bytes - 16;
    for (let q: usize = 0; q < last; q += 16) Inputs.mix(to + q, x0 + q, x1 + q, x2 + q, x3 + q);
    Inputs.mix(to + last, x0 + last, x1 + last, x2 + last, x3 + last);
  }
  @inline private static mix(to: usize, x0: usize, x1: usize, x2: usize, x3: usize): void {
    const d1 = v128.load(x1);
    const d2 = v128.load(x2);
    v128.store(to, f32x4.sub(v128.load(x0), d2));
    v128.store(to, f32x4.add(d1, d2), LINE);
    v128.store(to, f32x4.sub(d2, d1), 2 * LINE);
    v128.store(to, f32x4.sub(d1, v128.load(x3)), 3 * LINE);
  }

  private static across(to: usize, step: usize, count: i32): void {
    let from = Stage.lines();
    for (; count > 0; count -= 4, from += 32, to += 16) {
      Inputs.part(to, step, from);
      Inputs.part(to + 4 * step, step, from + LINE);
      Inputs.part(to + 8 * step, step, from + 2 * LINE);
      Inputs.part(to + 12 * step, step, from + 3 * LINE);
    }
  }
  /** Four tiles of a staged row. */
  @inline private static part(to: usize, step: usize, from: usize): void {
    const a = v128.load(from);
    const b = v128.load(from, 16);
    const c = v128.load(from, 8);
    const d = v128.load(from, 24);
    const d0 = i32x4.shuffle(a, b, 0, 2, 4, 6);
    const d1 = i32x4.shuffle(a, b, 1, 3, 5, 7);
    const d2 = i32x4.shuffle(c, d, 0, 2, 4, 6);
    const d3 = i32x4.shuffle(c, d, 1, 3, 5, 7);
    v128.store(to, f32x4.sub(d0, d2));
    v128.store(to + step, f32x4.add(d1, d2));
    v128.store(to + 2 * step, f32x4.sub(d2, d1));
    v128.store(to + 3 * step, f32x4.sub(d1, d3));
  }
}

/** Aᵀ m A, Aᵀ m = (m0 + m1 + m2, m1 - m2 - m3). */
export class Outputs {
  /**
   * Of the run at hand for `planes` outputs: max(sum + bias + residual, lowest) to planes `plane` bytes apart. A row of m
   * holds the sixteen tiles of a panel. The residual lies `away` bytes after the output; 0: there is none, as with bias.
   */
  static transform(
    y: usize,
    plane: usize,
    m: usize,
    step: usize,
    planes: i32,
    bias: usize,
    away: usize,
    lowest: f32,
  ): void {
    const low = f32x4.splat(lowest);
    const cols = min(2 * Tiles.count, Tiles.ow - 2 * Tiles.first);
    const wide = 2 * Tiles.row + 1 < Tiles.oh ? usize(Tiles.ow) << 2 : 0;
    y += usize(2 * (Tiles.row * Tiles.ow + Tiles.first)) << 2;
    for (; planes > 0; planes--, y += plane, m += PANEL << 2) {
      const b = bias ? v128.load32_splat(bias) : f32x4.splat(0);
      if (bias) bias += 4;
      for (let j = 0; j < cols; j += 8)
        Outputs.four(y + (usize(j) << 2), wide, m + (usize(j) << 1), step, cols - j, b, away, low);
    }
  }

  /** Four tiles: up to eight columns of a row, and of the next one, `wide` bytes on, unless that is 0. */
  @inline private static four(
    y: usize,
    wide: usize,
    m: usize,
    step: usize,
    cols: i32,
    bias: v128,
    away: usize,
    low: v128,
  ): void {
    const a = Outputs.upper(m, step);
    const b = Outputs.upper(m + step, step);
    const c = Outputs.upper(m + 2 * step, step);
    const d = Outputs.upper(m + 3 * step, step);
    Outputs.put(y, Outputs.plus(a, b, c), Outputs.minus(b, c, d), cols, bias, away, low);
    if (!wide) return;
    const p = Outputs.lower(m, step);
    const q = Outputs.lower(m + step, step);
    const r = Outputs.lower(m + 2 * step, step);
    const s = Outputs.lower(m + 3 * step, step);
    Outputs.put(y + wide, Outputs.plus(p, q, r), Outputs.minus(q, r, s), cols, bias, away, low);
  }
  /** Aᵀ m of a column of m: the first row, and the second. */
  @inline private static upper(m: usize, step: usize): v128 {
    return Outputs.plus(v128.load(m), v128.load(m + 4 * step), v128.load(m + 8 * step));
  }
  @inline private static lower(m: usize, step: usize): v128 {
    return Outputs.minus(v128.load(m + 4 * step), v128.load(m + 8 * step), v128.load(m + 12 * step));
  }
  @inline private static plus(a: v128, b: v128, c: v128): v128 {
    return f32x4.add(f32x4.add(a, b), c);
  }
  @inline private static minus(a: v128, b: v128, c: v128): v128 {
    return f32x4.sub(f32x4.sub(a, b), c);
  }

  /** Even and odd columns as a row of up to eight. */
  @inline private static put(
    y: usize,
    even: v128,
    odd: v128,
    cols: i32,
    bias: v128,
    away: usize,
    low: v128,
  ): void {
    even = f32x4.add(even, bias);
    odd = f32x4.add(odd, bias);
    const left = i32x4.shuffle(even, odd, 0, 4, 1, 5);
    const right = i32x4.shuffle(even, odd, 2, 6, 3, 7);
    if (cols < 8) Outputs.rest(y, left, right, cols, away, low);
    else if (away) {
      v128.store(y, f32x4.pmax(f32x4.add(left, v128.load(y + away)), low));
      v128.store(y, f32x4.pmax(f32x4.add(right, v128.load(y + away, 16)), low), 16);
    } else {
      v128.store(y, f32x4.pmax(left, low));
      v128.store(y, f32x4.pmax(right, low), 16);
    }
  }
  private static rest(y: usize, left: v128, right: v128, cols: i32, away: usize, low: v128): void {
    if (cols >= 4) {
      if (away) left = f32x4.add(left, v128.load(y + away));
      v128.store(y, f32x4.pmax(left, low));
      left = right;
      y += 16;
      cols -= 4;
    }
    for (; cols > 0; cols--, y += 4) {
      if (away) left = f32x4.add(left, v128.load32_zero(y + away));
      v128.store32_lane(y, f32x4.pmax(left, low), 0);
      left = i32x4.shuffle(left, left, 1, 2, 3, 3);
    }
  }
}

/** G g Gᵀ, G g = (g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2). */
export class Weights {
  /**
   * Of windows for `outs` outputs and `ins` inputs, `out` and `inn` bytes apart, the next tap `tap` bytes on. A matrix is
   * pairs of rows as the register tile reads them: two outputs side by side for each input.
   */
  static transform(
    to: usize,
    step: usize,
    wt: usize,
    outs: i32,
    ins: i32,
    out: usize,
    inn: usize,
    tap: usize,
  ): void {
    for (let f = 0; f < outs; f += 2, wt += 2 * out, to += usize(ins) << 3) {
      const next = f + 1 < outs ? out : 0;
      for (let e = 0; e < ins; e += 2) {
        const from = wt + usize(e) * inn;
        Weights.four(to + (usize(e) << 3), step, from, next, e + 1 < ins ? inn : 0, tap);
      }
    }
  }
  /** Two inputs of two outputs. */
  private static four(to: usize, step: usize, wt: usize, out: usize, inn: usize, tap: usize): void {
    const a = Weights.gather(wt, out, inn);
    const b = Weights.gather(wt + tap, out, inn);
    const c = Weights.gather(wt + 2 * tap, out, inn);
    wt += 3 * tap;
    const d = Weights.gather(wt, out, inn);
    const e = Weights.gather(wt + tap, out, inn);
    const f = Weights.gather(wt + 2 * tap, out, inn);
    wt += 3 * tap;
    const g = Weights.gather(wt, out, inn);
    const h = Weights.gather(wt + tap, out, inn);
    const i = Weights.gather(wt + 2 * tap, out, inn);
    Weights.across(to, step, a, b, c);
    const half = f32x4.splat(0.5);
    const p = f32x4.mul(f32x4.add(a, g), half);
    const q = f32x4.mul(f32x4.add(b, h), half);
    const r = f32x4.mul(f32x4.add(c, i), half);
    const s = f32x4.mul(d, half);
    const t = f32x4.mul(e, half);
    const u = f32x4.mul(f, half);
    Weights.across(to + 4 * step, step, f32x4.add(p, s), f32x4.add(q, t), f32x4.add(r, u));
    Weights.across(to + 8 * step, step, f32x4.sub(p, s), f32x4.sub(q, t), f32x4.sub(r, u));
    Weights.across(to + 12 * step, step, g, h, i);
  }
  @inline private static gather(at: usize, out: usize, inn: usize): v128 {
    let v = v128.load32_zero(at);
    v = v128.load32_lane(at + out, v, 1);
    v = v128.load32_lane(at + inn, v, 2);
    return v128.load32_lane(at + out + inn, v, 3);
  }
  @inline private static across(to: usize, step: usize, a: v128, b: v128, c: v128): void {
    const half = f32x4.splat(0.5);
    const p = f32x4.mul(f32x4.add(a, c), half);
    const q = f32x4.mul(b, half);
    v128.store(to, a);
    v128.store(to + step, f32x4.add(p, q));
    v128.store(to + 2 * step, f32x4.sub(p, q));
    v128.store(to + 3 * step, c);
  }
}
