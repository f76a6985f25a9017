// Sums over windows, row after row of outputs, read from padded copies of what the windows look at (copies.ts): a tap is an
// offset there, whatever the window's size, steps and dilation. Rows.fill lists the terms. Each output is summed in the order of
// its terms alone, so tiles may overlap, and their shapes change no bit.
import { Eight, Five, Four, One, Seven, Six, Three, Two } from './numbers';
import { Rows } from './rows';
import { Lanes, MOST_SUMS } from './simd';

/** What is read of all rows for a band of rows of outputs stays in L1. */
const NEAR: usize = 16384;
/** What a tile does besides its sums takes as long as so many multiply-adds of vectors. */
const TILE: f64 = 36;

/** The vectors of a tile, N a row. */
class Vectors {
  /** Vector k of rows that begin at a, b, c and d. */
  @inline static see<N>(k: i32, a: usize, b: usize, c: usize, d: usize): v128 {
    const n = changetype<N>(0).n();
    const row = k / n;
    return Vectors.load(row == 0 ? a : row == 1 ? b : row == 2 ? c : d, k % n);
  }
  /** What stands in the instruction costs nothing. */
  @inline private static load(x: usize, k: i32): v128 {
    if (k == 0) return v128.load(x);
    if (k == 1) return v128.load(x, 16);
    if (k == 2) return v128.load(x, 32);
    if (k == 3) return v128.load(x, 48);
    if (k == 4) return v128.load(x, 64);
    if (k == 5) return v128.load(x, 80);
    if (k == 6) return v128.load(x, 96);
    return v128.load(x, 112);
  }
  /** Stores max(from + sum, lowest) of vector k; the last one of a row has so many lanes. */
  @inline static put<N>(k: i32, y: usize, sum: v128, from: v128, lanes: i32): void {
    const n = changetype<N>(0).n();
    const to = y + usize(k / n) * Sweep.line + (usize(k % n) << 4);
    const v = f32x4.pmax(f32x4.add(from, sum), f32x4.splat(Sweep.lowest));
    if (k % n < n - 1 || lanes == 4) v128.store(to, v);
    else Vectors.some(to, v, lanes);
  }
  private static some(to: usize, v: v128, lanes: i32): void {
    if (lanes & 2) v128.store64_lane(to, v, 0);
    if (lanes == 1) v128.store32_lane(to, v, 0);
    if (lanes == 3) v128.store32_lane(to, v, 2, 8);
  }
}

export class Sweep {
  /** Size of the piece, in outputs. */
  private static rows: i32 = 0;
  private static cols: i32 = 0;
  /** Bytes from one row of outputs to the next one, from output to output, and from row to row of what a tap sees of them. */
  static line: usize = 0;
  private static ld: usize = 0;
  private static pitch: usize = 0;
  static lowest: f32 = 0;

  static over(rows: i32, cols: i32, line: usize, ld: usize, pitch: usize, lowest: f32): void {
    Sweep.rows = rows;
    Sweep.cols = cols;
    Sweep.line = line;
    Sweep.ld = ld;
    Sweep.pitch = pitch;
    Sweep.lowest = lowest;
  }
  /** What a vector of outputs costs in rows so long, as convFew.ts counts: its terms, what a tile does besides, and excess. */
  static cost(cols: i32, outs: i32, terms: f64): f64 {
    Sweep.cols = cols;
    const n = Sweep.width(outs > 1 ? 4 : MOST_SUMS);
    const sums = outs > 1 ? 2 * n : n > 4 ? n : n == 3 ? 6 : n == 4 && MOST_SUMS < 8 ? 4 : MOST_SUMS;
    const width = 4 * n;
    const excess = f64(((cols + width - 1) / width) * width) / f64(cols);
    return excess * (terms + TILE / f64(sums));
  }

  /** `outs` outputs: max(sum + bias, lowest). */
  static run(y: usize, x: usize, outs: i32): void {
    const band = max(4, i32(NEAR / (usize(Rows.rows) * Sweep.pitch)));
    for (let i = 0; i < Sweep.rows; i += band) {
      const end = min(Sweep.rows, i + band);
      let terms = Rows.list();
      let to = y;
      for (let f = 0; f < outs; f += 2, terms += Rows.pair(), to += 2 * Sweep.ld)
        if (f + 1 < outs) Sweep.two(to, x, terms, i, end);
        else Sweep.one(to, x, terms, i, end);
    }
  }
  /** How many vectors a tile has of a row, at most so many: as few tiles as can be, all of one width. */
  private static width(most: i32): i32 {
    const vectors = (Sweep.cols + 3) >> 2;
    const tiles = (vectors + most - 1) / most;
    return (vectors + tiles - 1) / tiles;
  }
  private static two(y: usize, x: usize, terms: usize, i: i32, end: i32): void {
    const n = Sweep.width(4);
    if (n == 1) Sweep.pairs<One>(y, x, terms, i, end);
    else if (n == 2) Sweep.pairs<Two>(y, x, terms, i, end);
    else if (n == 3) Sweep.pairs<Three>(y, x, terms, i, end);
    else Sweep.pairs<Four>(y, x, terms, i, end);
  }
  /** Narrow rows go by several at a time, if there are so many. */
  private static one(y: usize, x: usize, terms: usize, i: i32, end: i32): void {
    const n = Sweep.width(MOST_SUMS);
    const rows = end - i;
    if (n == 8) Sweep.tiles<One, Eight>(y, x, terms, i, end);
    else if (n == 7) Sweep.tiles<One, Seven>(y, x, terms, i, end);
    else if (n == 6) Sweep.tiles<One, Six>(y, x, terms, i, end);
    else if (n == 5) Sweep.tiles<One, Five>(y, x, terms, i, end);
    else if (n == 4 && rows >= 2 && MOST_SUMS == 8) Sweep.tiles<Two, Four>(y, x, terms, i, end);
    else if (n == 4) Sweep.tiles<One, Four>(y, x, terms, i, end);
    else if (n == 3 && rows >= 2) Sweep.tiles<Two, Three>(y, x, terms, i, end);
    else if (n == 3) Sweep.tiles<One, Three>(y, x, terms, i, end);
    else if (n == 2 && rows >= 4 && MOST_SUMS == 8) Sweep.tiles<Four, Two>(y, x, terms, i, end);
    else if (n == 2 && rows >= 3) Sweep.tiles<Three, Two>(y, x, terms, i, end);
    else if (n == 2) Sweep.tiles<One, Two>(y, x, terms, i, end);
    else if (rows >= 4) Sweep.tiles<Four, One>(y, x, terms, i, end);
    else Sweep.tiles<One, One>(y, x, terms, i, end);
  }

  /** The rows i to `end` of one output in tiles of R rows; the last ones of a row and of a column overlap those before. */
  private static tiles<R, N>(y: usize, x: usize, terms: usize, i: i32, end: i32): void {
    const width = 4 * changetype<N>(0).n();
    const rows = changetype<R>(0).n();
    const right = max(0, Sweep.cols - width);
    const lanes = Sweep.cols - right - width + 4;
    for (; i < end; i += rows) {
      const row = usize(min(i, end - rows));
      for (let j = 0; j < Sweep.cols; j += width) {
        const at = usize(min(j, right)) << 2;
        Sweep.tile<R, N>(y + row * Sweep.line + at, x + row * Sweep.pitch + at, terms, lanes);
      }
    }
  }
  private static tile<R, N>(y: usize, x: usize, terms: usize, lanes: i32): void {
    const count = changetype<R>(0).n() * changetype<N>(0).n();
    const last = terms + Rows.pair();
    const pitch = Sweep.pitch;
    let s0 = f32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    let s4 = s0;
    let s5 = s0;
    let s6 = s0;
    let s7 = s0;
    let t = terms + 16;
    // There is a term. Before a loop that surely runs V8 computes what stays the same in it, else in each turn.
    do {
      const w = v128.load32_splat(t, 4);
      const a = x + load<usize>(t);
      const b = a + pitch;
      const c = b + pitch;
      const d = c + pitch;
      s0 = Lanes.madd(w, Vectors.see<N>(0, a, b, c, d), s0);
      if (count > 1) s1 = Lanes.madd(w, Vectors.see<N>(1, a, b, c, d), s1);
      if (count > 2) s2 = Lanes.madd(w, Vectors.see<N>(2, a, b, c, d), s2);
      if (count > 3) s3 = Lanes.madd(w, Vectors.see<N>(3, a, b, c, d), s3);
      if (count > 4) s4 = Lanes.madd(w, Vectors.see<N>(4, a, b, c, d), s4);
      if (count > 5) s5 = Lanes.madd(w, Vectors.see<N>(5, a, b, c, d), s5);
      if (count > 6) s6 = Lanes.madd(w, Vectors.see<N>(6, a, b, c, d), s6);
      if (count > 7) s7 = Lanes.madd(w, Vectors.see<N>(7, a, b, c, d), s7);
      t += 16;
    } while (t < last);
    const from = v128.load32_splat(terms);
    Vectors.put<N>(0, y, s0, from, lanes);
    if (count > 1) Vectors.put<N>(1, y, s1, from, lanes);
    if (count > 2) Vectors.put<N>(2, y, s2, from, lanes);
    if (count > 3) Vectors.put<N>(3, y, s3, from, lanes);
    if (count > 4) Vectors.put<N>(4, y, s4, from, lanes);
    if (count > 5) Vectors.put<N>(5, y, s5, from, lanes);
    if (count > 6) Vectors.put<N>(6, y, s6, from, lanes);
    if (count > 7) Vectors.put<N>(7, y, s7, from, lanes);
  }

  /** The same of two outputs, a row at a time. */
  private static pairs<N>(y: usize, x: usize, terms: usize, i: i32, end: i32): void {
    const width = 4 * changetype<N>(0).n();
    const right = max(0, Sweep.cols - width);
    const lanes = Sweep.cols - right - width + 4;
    for (; i < end; i++)
      for (let j = 0; j < Sweep.cols; j += width) {
        const at = usize(min(j, right)) << 2;
        Sweep.both<N>(y + usize(i) * Sweep.line + at, x + usize(i) * Sweep.pitch + at, terms, lanes);
      }
  }
  private static both<N>(y: usize, x: usize, terms: usize, lanes: i32): void {
    const n = changetype<N>(0).n();
    const last = terms + Rows.pair();
    let p0 = f32x4.splat(0);
    let p1 = p0;
    let p2 = p0;
    let p3 = p0;
    let q0 = p0;
    let q1 = p0;
    let q2 = p0;
    let q3 = p0;
    let t = terms + 16;
    do {
      const v = v128.load32_splat(t, 4);
      const w = v128.load32_splat(t, 8);
      const a = x + load<usize>(t);
      const x0 = v128.load(a);
      p0 = Lanes.madd(v, x0, p0);
      q0 = Lanes.madd(w, x0, q0);
      if (n > 1) {
        const x1 = v128.load(a, 16);
        p1 = Lanes.madd(v, x1, p1);
        q1 = Lanes.madd(w, x1, q1);
      }
      if (n > 2) {
        const x2 = v128.load(a, 32);
        p2 = Lanes.madd(v, x2, p2);
        q2 = Lanes.madd(w, x2, q2);
      }
      if (n > 3) {
        const x3 = v128.load(a, 48);
        p3 = Lanes.madd(v, x3, p3);
        q3 = Lanes.madd(w, x3, q3);
      }
      t += 16;
    } while (t < last);
    const z = y + Sweep.ld;
    const a = v128.load32_splat(terms);
    const b = v128.load32_splat(terms, 4);
    {
      Vectors.put<N>(0, y, p0, a, lanes);
      Vectors.put<N>(0, z, q0, b, lanes);
    }
    if (n > 1) {
      Vectors.put<N>(1, y, p1, a, lanes);
      Vectors.put<N>(1, z, q1, b, lanes);
    }
    if (n > 2) {
      Vectors.put<N>(2, y, p2, a, lanes);
      Vectors.put<N>(2, z, q2, b, lanes);
    }
    if (n > 3) {
      Vectors.put<N>(3, y, p3, a, lanes);
      Vectors.put<N>(3, z, q3, b, lanes);
    }
  }
}
