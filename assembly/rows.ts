// Outputs as weighted sums of rows of positions that lie where they are: copies of an image, its planes, or planes of a
// gradient. Two outputs at a time read a list of terms, so nothing is packed but the weights.
import { Scratch } from './scratch';
import { Lanes } from './simd';

/** Bytes for the lists. */
const TERMS: usize = 1 << 20;
/** What is read of all rows between two outputs stays in L1. */
const NEAR: usize = 16384;
/** Positions of a tile. */
const TILE: i32 = 16;
/** Positions of the tile of a last output alone: V8 11 has no register for an eighth sum beside seven vectors that it loads first. */
const LONG: i32 = ASC_FEATURE_RELAXED_SIMD ? 32 : 28;

/** Shapes of a tile: two outputs, or a long run of one. */
@final
@unmanaged
class Pair {
  @inline pair(): bool {
    return true;
  }
}
@final
@unmanaged
class Single {
  @inline pair(): bool {
    return false;
  }
}

export class Rows {
  /** Rows that are distinct: channels, and copies of each. */
  static rows: i32 = 0;
  /** Inputs, and bytes from one's rows to the next one's, from one's weights to the next one's, and from output to output. */
  static ins: i32 = 0;
  static channel: usize = 0;
  static inn: usize = 0;
  static out: usize = 0;
  static taps: i32 = 0;
  /** Where taps and the list at hand begin, in bytes behind the first of all. */
  static first: usize = 0;
  static begin: usize = 0;

  /** Where each tap's row lies in a channel, and its weight among the channel's. */
  static tap(t: i32, row: usize, weight: i32): void {
    const at = Rows.table() + (usize(t) << 3);
    store<usize>(at, row);
    store<i32>(at, weight, 4);
  }
  @inline private static table(): usize {
    return Scratch.tables() + Rows.first;
  }
  @inline static list(): usize {
    return Scratch.a() + Rows.begin;
  }
  /** Bytes of the list of two outputs: both biases, and a record for each term. */
  @inline static pair(): usize {
    return usize(Rows.ins * Rows.taps + 1) << 4;
  }
  static fits(positions: i32, outs: i32): bool {
    return positions >= TILE && Rows.holds(outs);
  }
  /** Whether there is room for the lists of so many outputs. */
  static holds(outs: i32): bool {
    return usize((outs + 1) >> 1) * Rows.pair() <= TERMS;
  }

  /** Lists the terms of the outputs `first` to `last`. A record is where the row lies, and both weights. */
  static fill(wt: usize, bias: usize, first: i32, last: i32): void {
    let to = Rows.list();
    const table = Rows.table();
    const end = table + (usize(Rows.taps) << 3);
    for (let f = first; f < last; f += 2) {
      const next: usize = f + 1 < last ? 1 : 0;
      f32.store(to, bias ? f32.load(bias + (usize(f) << 2)) : 0);
      f32.store(to, bias ? f32.load(bias + ((usize(f) + next) << 2)) : 0, 4);
      to += 16;
      for (let e = 0; e < Rows.ins; e++) {
        const weights = wt + usize(f) * Rows.out + usize(e) * Rows.inn;
        const second = weights + next * Rows.out;
        const row = usize(e) * Rows.channel;
        for (let tap = table; tap < end; tap += 8, to += 16) {
          const at = load<usize>(tap, 4);
          store<usize>(to, row + load<usize>(tap));
          f32.store(to, f32.load(weights + at), 4);
          f32.store(to, f32.load(second + at), 8);
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
        if (f + 1 < outs) Rows.tiles<Pair>(to, to + ld, x, terms, size, p, end, count, lowest);
        else if (count >= LONG) Rows.tiles<Single>(to, to + 64, x, terms, size, p, end, count, lowest);
        else Rows.tiles<Pair>(to, Scratch.tall(), x, terms, size, p, end, count, lowest);
      }
    }
  }

  /**
   * The positions p to `end`, a tile of shape S at a time; a last tile of all `count` overlaps the one before it. `z` is the second
   * output, or the second half of a tile of the only one.
   */
  private static tiles<S>(
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
    const pair = changetype<S>(0).pair();
    const tile = pair ? TILE : LONG;
    const zero = f32x4.splat(0);
    const low = f32x4.splat(lowest);
    const last = terms + size;
    for (; p < end; p += tile) {
      const at = usize(min(p, count - tile)) << 2;
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
        const b = pair ? v128.load32_splat(t, 8) : a;
        const x0 = v128.load(row);
        p0 = Lanes.madd(a, x0, p0);
        q0 = Lanes.madd(b, pair ? x0 : v128.load(row, 64), q0);
        const x1 = v128.load(row, 16);
        p1 = Lanes.madd(a, x1, p1);
        q1 = Lanes.madd(b, pair ? x1 : v128.load(row, 80), q1);
        const x2 = v128.load(row, 32);
        p2 = Lanes.madd(a, x2, p2);
        q2 = Lanes.madd(b, pair ? x2 : v128.load(row, 96), q2);
        const x3 = v128.load(row, 48);
        p3 = Lanes.madd(a, x3, p3);
        if (pair || LONG == 32) q3 = Lanes.madd(b, pair ? x3 : v128.load(row, 112), q3);
      }
      const a = v128.load32_splat(terms);
      const b = pair ? v128.load32_splat(terms, 4) : a;
      v128.store(y + at, f32x4.pmax(f32x4.add(a, p0), low));
      v128.store(y + at, f32x4.pmax(f32x4.add(a, p1), low), 16);
      v128.store(y + at, f32x4.pmax(f32x4.add(a, p2), low), 32);
      v128.store(y + at, f32x4.pmax(f32x4.add(a, p3), low), 48);
      v128.store(z + at, f32x4.pmax(f32x4.add(b, q0), low));
      v128.store(z + at, f32x4.pmax(f32x4.add(b, q1), low), 16);
      v128.store(z + at, f32x4.pmax(f32x4.add(b, q2), low), 32);
      if (pair || LONG == 32) v128.store(z + at, f32x4.pmax(f32x4.add(b, q3), low), 48);
    }
  }
}
