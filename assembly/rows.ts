// Outputs as weighted sums of rows of positions that lie where they are: copies of an image, its planes, or planes of a
// gradient. Two outputs at a time read a list of terms, so nothing is packed but the weights.
import { Scratch } from './scratch';
import { Lanes } from './simd';

/** Bytes for the lists. */
const TERMS: usize = 1 << 20;
/** What is read of all rows between two outputs stays in L1. */
const NEAR: usize = 24576;
/** Positions of a tile. */
const TILE: i32 = 16;
/** Positions of the tile of a last output alone: V8 11 has no register for an eighth sum beside seven vectors that it loads first. */
const LONG: i32 = ASC_FEATURE_RELAXED_SIMD ? 32 : 28;

export class Rows {
  /** Rows that are distinct: channels, and copies of each. */
  static rows: i32 = 0;
  /** Inputs, and bytes from one's rows to the next one's, from one's weights to the next one's, and from output to output. */
  static ins: i32 = 0;
  static channel: usize = 0;
  static inn: usize = 0;
  static out: usize = 0;
  static taps: i32 = 0;

  /** Where each tap's row lies in a channel, and its weight among the channel's. */
  static tap(t: i32, row: usize, weight: i32): void {
    const at = Rows.table() + (usize(t) << 3);
    store<usize>(at, row);
    store<i32>(at, weight, 4);
  }
  @inline private static table(): usize {
    return Scratch.tables();
  }
  @inline private static list(): usize {
    return Scratch.a();
  }
  /** Bytes of the list of two outputs: both biases, and a record for each term. */
  @inline private static pair(): usize {
    return usize(Rows.ins * Rows.taps + 1) << 4;
  }
  static fits(positions: i32, outs: i32): bool {
    return positions >= TILE && usize((outs + 1) >> 1) * Rows.pair() <= TERMS;
  }

  /** Lists the terms of the outputs `first` to `last`. A record is where the row lies, and both weights. */
  static fill(wt: usize, bias: usize, first: i32, last: i32): void {
    let to = Rows.list();
    for (let f = first; f < last; f += 2) {
      const next: usize = f + 1 < last ? 1 : 0;
      f32.store(to, bias ? f32.load(bias + (usize(f) << 2)) : 0);
      f32.store(to, bias ? f32.load(bias + ((usize(f) + next) << 2)) : 0, 4);
      to += 16;
      for (let e = 0; e < Rows.ins; e++) {
        const weights = wt + usize(f) * Rows.out + usize(e) * Rows.inn;
        const row = usize(e) * Rows.channel;
        for (let t = 0; t < Rows.taps; t++, to += 16) {
          const tap = Rows.table() + (usize(t) << 3);
          const from = weights + load<u32>(tap, 4);
          store<usize>(to, row + load<usize>(tap));
          f32.store(to, f32.load(from), 4);
          f32.store(to, f32.load(from + next * Rows.out), 8);
        }
      }
    }
  }

  /** `outs` outputs `ld` bytes apart at `count` positions: max(sum + bias, lowest). */
  static run(y: usize, ld: usize, x: usize, outs: i32, count: i32, lowest: f32): void {
    const size = Rows.pair();
    const most = i32(NEAR / usize(max(1, Rows.rows) << 2));
    const tile = outs > 1 ? 2 * TILE : LONG;
    const some = max(2 * tile, most - (most % tile));
    for (let p = 0; p < count; p += some) {
      const end = min(count, p + some);
      let terms = Rows.list();
      let to = y;
      for (let f = 0; f < outs; f += 2, terms += size, to += 2 * ld) {
        if (f + 1 < outs) Rows.two(to, to + ld, x, terms, size, p, end, count, lowest);
        else if (count >= LONG) Rows.one(to, x, terms, size, p, end, count, lowest);
        else Rows.two(to, Scratch.tall(), x, terms, size, p, end, count, lowest);
      }
    }
  }

  /** The positions p to `end`, sixteen at a time; a last tile of all `count` overlaps the one before it. */
  private static two(
    y: usize,
    z: usize,
    x: usize,
    terms: usize,
    size: usize,
    p: i32,
    end: i32,
    count: i32,
    lowest: f32,
  ): void {
    const zero = f32x4.splat(0);
    const low = f32x4.splat(lowest);
    const last = terms + size;
    for (; p < end; p += TILE) {
      const at = usize(min(p, count - TILE)) << 2;
      const from = x + at;
      let p0 = zero;
      let p1 = zero;
      let p2 = zero;
      let p3 = zero;
      let q0 = zero;
      let q1 = zero;
      let q2 = zero;
      let q3 = zero;
      for (let t = terms + 16; t < last; t += 16) {
        const row = from + load<usize>(t);
        const a = v128.load32_splat(t, 4);
        const b = v128.load32_splat(t, 8);
        const x0 = v128.load(row);
        p0 = Lanes.madd(a, x0, p0);
        q0 = Lanes.madd(b, x0, q0);
        const x1 = v128.load(row, 16);
        p1 = Lanes.madd(a, x1, p1);
        q1 = Lanes.madd(b, x1, q1);
        const x2 = v128.load(row, 32);
        p2 = Lanes.madd(a, x2, p2);
        q2 = Lanes.madd(b, x2, q2);
        const x3 = v128.load(row, 48);
        p3 = Lanes.madd(a, x3, p3);
        q3 = Lanes.madd(b, x3, q3);
      }
      const a = v128.load32_splat(terms);
      const b = v128.load32_splat(terms, 4);
      v128.store(y + at, f32x4.pmax(f32x4.add(a, p0), low));
      v128.store(y + at, f32x4.pmax(f32x4.add(a, p1), low), 16);
      v128.store(y + at, f32x4.pmax(f32x4.add(a, p2), low), 32);
      v128.store(y + at, f32x4.pmax(f32x4.add(a, p3), low), 48);
      v128.store(z + at, f32x4.pmax(f32x4.add(b, q0), low));
      v128.store(z + at, f32x4.pmax(f32x4.add(b, q1), low), 16);
      v128.store(z + at, f32x4.pmax(f32x4.add(b, q2), low), 32);
      v128.store(z + at, f32x4.pmax(f32x4.add(b, q3), low), 48);
    }
  }

  /** The output that an odd number leaves. */
  private static one(
    y: usize,
    x: usize,
    terms: usize,
    size: usize,
    p: i32,
    end: i32,
    count: i32,
    lowest: f32,
  ): void {
    const zero = f32x4.splat(0);
    const low = f32x4.splat(lowest);
    const last = terms + size;
    for (; p < end; p += LONG) {
      const at = usize(min(p, count - LONG)) << 2;
      const from = x + at;
      let p0 = zero;
      let p1 = zero;
      let p2 = zero;
      let p3 = zero;
      let p4 = zero;
      let p5 = zero;
      let p6 = zero;
      let p7 = zero;
      for (let t = terms + 16; t < last; t += 16) {
        const row = from + load<usize>(t);
        const a = v128.load32_splat(t, 4);
        p0 = Lanes.madd(a, v128.load(row), p0);
        p1 = Lanes.madd(a, v128.load(row, 16), p1);
        p2 = Lanes.madd(a, v128.load(row, 32), p2);
        p3 = Lanes.madd(a, v128.load(row, 48), p3);
        p4 = Lanes.madd(a, v128.load(row, 64), p4);
        p5 = Lanes.madd(a, v128.load(row, 80), p5);
        p6 = Lanes.madd(a, v128.load(row, 96), p6);
        if (LONG == 32) p7 = Lanes.madd(a, v128.load(row, 112), p7);
      }
      const a = v128.load32_splat(terms);
      v128.store(y + at, f32x4.pmax(f32x4.add(a, p0), low));
      v128.store(y + at, f32x4.pmax(f32x4.add(a, p1), low), 16);
      v128.store(y + at, f32x4.pmax(f32x4.add(a, p2), low), 32);
      v128.store(y + at, f32x4.pmax(f32x4.add(a, p3), low), 48);
      v128.store(y + at, f32x4.pmax(f32x4.add(a, p4), low), 64);
      v128.store(y + at, f32x4.pmax(f32x4.add(a, p5), low), 80);
      v128.store(y + at, f32x4.pmax(f32x4.add(a, p6), low), 96);
      if (LONG == 32) v128.store(y + at, f32x4.pmax(f32x4.add(a, p7), low), 112);
    }
  }
}
