// Reductions over the middle of [outer, n, inner], over the rows of a matrix, or over a whole run. Where inner is 1 the
// lanes lie along the run; else they are columns, and rows are added one after the other, so memory is read in order.
import { Added, Leaves, Multiplied } from './leaves';
import { Part } from './part';
import { Double, Run } from './runs';
import { Lanes } from './simd';
import { Scratch } from './scratch';

/** Columns worked on together: their totals stay in L1. */
const CHUNK: i32 = 1024;
/** Rows added in float32 before their sum goes to the totals in double. */
const ROWS: i32 = 256;
class Chunk {
  /** Totals of the columns, in double. */
  @inline static sums(): usize {
    return Scratch.a();
  }
  /** The best of each column so far, or the sum of its last 256 rows. */
  @inline static row(): usize {
    return Scratch.a() + 16384;
  }
}

/** The smaller number; in this file `min` is a kernel. */
function least(a: i32, b: i32): i32 {
  return a < b ? a : b;
}
function bytes(n: i32): usize {
  return usize(n) << 2;
}

export function sum(o: usize, x: usize, outer: i32, n: i32, inner: i32): void {
  if (outer == 1 && inner == 1) {
    const total = Leaves.sum<Added>(x, x, n);
    if (Part.ends()) f32.store(o, f32(total));
    return;
  }
  for (let i = 0; i < outer; i++, o += bytes(inner), x += bytes(n) * usize(inner)) {
    if (inner == 1) f32.store(o, f32(Run.sum(x, n)));
    else {
      const last = Part.to(inner, 16);
      for (let j = Part.from(inner, 16); j < last; j += CHUNK)
        sumColumns(o + bytes(j), x + bytes(j), n, least(CHUNK, last - j), bytes(inner));
    }
  }
}

/** Adds up to 256 rows in o itself; more, by blocks of 256, in double. */
function sumColumns(o: usize, x: usize, n: i32, cols: i32, row: usize): void {
  if (n <= ROWS) {
    memory.fill(o, 0, bytes(cols));
    addRows(o, x, n, cols, row);
    return;
  }
  memory.fill(Chunk.sums(), 0, usize(cols) << 3);
  for (let k = 0; k < n; k += ROWS, x += usize(ROWS) * row) {
    memory.fill(Chunk.row(), 0, bytes(cols));
    addRows(Chunk.row(), x, least(ROWS, n - k), cols, row);
    for (let j: usize = 0; j < usize(cols); j++)
      f64.store(
        Chunk.sums() + (j << 3),
        f64.load(Chunk.sums() + (j << 3)) + f64(f32.load(Chunk.row() + (j << 2))),
      );
  }
  for (let j: usize = 0; j < usize(cols); j++)
    f32.store(o + (j << 2), f32(f64.load(Chunk.sums() + (j << 3))));
}

/** o += the sum of n rows, four rows at a time. */
function addRows(o: usize, x: usize, n: i32, cols: i32, row: usize): void {
  const size = bytes(cols);
  for (; n >= 4; n -= 4, x += 4 * row) {
    const x1 = x + row;
    const x2 = x1 + row;
    const x3 = x2 + row;
    let j: usize = 0;
    for (const end = size & ~15; j < end; j += 16) {
      const low = f32x4.add(v128.load(x + j), v128.load(x1 + j));
      const high = f32x4.add(v128.load(x2 + j), v128.load(x3 + j));
      v128.store(o + j, f32x4.add(v128.load(o + j), f32x4.add(low, high)));
    }
    for (; j < size; j += 4) {
      const low = f32.load(x + j) + f32.load(x1 + j);
      f32.store(o + j, f32.load(o + j) + (low + (f32.load(x2 + j) + f32.load(x3 + j))));
    }
  }
  for (; n > 0; n--, x += row) addRow(o, x, size);
}

function addRow(o: usize, x: usize, size: usize): void {
  let j: usize = 0;
  for (const end = size & ~15; j < end; j += 16)
    v128.store(o + j, f32x4.add(v128.load(o + j), v128.load(x + j)));
  for (; j < size; j += 4) f32.store(o + j, f32.load(o + j) + f32.load(x + j));
}

/** An order for Run.best in which NaN is the best; `wins(a, b)`: whether a is better, of two that are no NaN. */
@final
@unmanaged
class Most {
  @inline best(a: v128, b: v128): v128 {
    return Lanes.max(a, b);
  }
  @inline wins(a: v128, b: v128): v128 {
    return f32x4.gt(a, b);
  }
  @inline worst(): v128 {
    return f32x4.splat(-Infinity);
  }
}
@final
@unmanaged
class Least {
  @inline best(a: v128, b: v128): v128 {
    return Lanes.min(a, b);
  }
  @inline wins(a: v128, b: v128): v128 {
    return f32x4.lt(a, b);
  }
  @inline worst(): v128 {
    return f32x4.splat(Infinity);
  }
}

class Extreme {
  /** The best of the only run there is, or its index: the value of each leaf, then the first leaf that has the best. */
  static whole<F>(o: usize, x: usize, n: i32, index: bool): void {
    const last = Leaves.to(n);
    for (let k = Leaves.from(n); k < last; k++)
      Leaves.put(k, 0, f64(Run.best<F>(x + bytes(Leaves.start(k)), Leaves.length(k, n))));
    if (!Part.ends() || n == 0) return;
    let leaf = 0;
    let best = f32(Leaves.get(0, 0));
    for (let k = 1; k < Leaves.count(n); k++) {
      const now = f32(Leaves.get(k, 0));
      if (!v128.any_true(Extreme.beats<F>(f32x4.splat(now), f32x4.splat(best)))) continue;
      leaf = k;
      best = now;
    }
    if (!index) f32.store(o, best);
    else {
      const start = Leaves.start(leaf);
      f32.store(o, f32(start + Extreme.find(x + bytes(start), Leaves.length(leaf, n), best)));
    }
  }
  /** Where `value` first stands in a run; NaN stands where NaN is. */
  static find(x: usize, n: i32, value: f32): i32 {
    const v = f32x4.splat(value);
    const nan = value != value;
    let k = 0;
    for (; k + 4 <= n; k += 4) {
      const y = v128.load(x + bytes(k));
      const hits = i32x4.bitmask(nan ? f32x4.ne(y, y) : f32x4.eq(y, v));
      if (hits) return k + ctz(hits);
    }
    for (; k < n; k++) {
      const y = f32.load(x + bytes(k));
      if (nan ? y != y : y == value) return k;
    }
    return 0;
  }
  static values<F>(o: usize, x: usize, outer: i32, n: i32, inner: i32): void {
    if (outer == 1 && inner == 1) {
      Extreme.whole<F>(o, x, n, false);
      return;
    }
    const row = bytes(inner);
    for (let i = 0; i < outer; i++, o += row, x += usize(n) * row) {
      if (inner == 1) {
        f32.store(o, Run.best<F>(x, n));
        continue;
      }
      const first = bytes(Part.from(inner, 16));
      const last = bytes(Part.to(inner, 16));
      memory.copy(o + first, x + first, last - first);
      let k = 1;
      for (; k + 4 <= n; k += 4) Extreme.fourRows<F>(o, x + usize(k) * row, first, last, row);
      for (; k < n; k++) Extreme.oneRow<F>(o, x + usize(k) * row, first, last);
    }
  }
  private static fourRows<F>(o: usize, x: usize, first: usize, last: usize, row: usize): void {
    const f = changetype<F>(0);
    const x1 = x + row;
    const x2 = x1 + row;
    const x3 = x2 + row;
    let j = first;
    for (; j + 16 <= last; j += 16) {
      const low = f.best(v128.load(x + j), v128.load(x1 + j));
      const high = f.best(v128.load(x2 + j), v128.load(x3 + j));
      v128.store(o + j, f.best(v128.load(o + j), f.best(low, high)));
    }
    for (; j < last; j += 4) {
      const low = f.best(v128.load32_splat(x + j), v128.load32_splat(x1 + j));
      const high = f.best(v128.load32_splat(x2 + j), v128.load32_splat(x3 + j));
      v128.store32_lane(o + j, f.best(v128.load32_splat(o + j), f.best(low, high)), 0);
    }
  }
  private static oneRow<F>(o: usize, x: usize, first: usize, last: usize): void {
    const f = changetype<F>(0);
    let j = first;
    for (; j + 16 <= last; j += 16) v128.store(o + j, f.best(v128.load(o + j), v128.load(x + j)));
    for (; j < last; j += 4)
      v128.store32_lane(o + j, f.best(v128.load32_splat(o + j), v128.load32_splat(x + j)), 0);
  }
  /** Whether y replaces the best so far: better or NaN, unless that is NaN. */
  @inline static beats<F>(y: v128, best: v128): v128 {
    return v128.andnot(v128.or(changetype<F>(0).wins(y, best), f32x4.ne(y, y)), f32x4.ne(best, best));
  }
  static indices<F>(o: usize, x: usize, outer: i32, n: i32, inner: i32): void {
    if (outer == 1 && inner == 1) {
      Extreme.whole<F>(o, x, n, true);
      return;
    }
    const row = bytes(inner);
    for (let i = 0; i < outer; i++, o += row, x += usize(n) * row) {
      if (inner == 1) f32.store(o, f32(Extreme.find(x, n, Run.best<F>(x, n))));
      else {
        const last = Part.to(inner, 16);
        for (let j = Part.from(inner, 16); j < last; j += CHUNK)
          Extreme.columns<F>(o + bytes(j), x + bytes(j), n, bytes(least(CHUNK, last - j)), row);
      }
    }
  }
  private static columns<F>(o: usize, x: usize, n: i32, size: usize, row: usize): void {
    memory.copy(Chunk.row(), x, size);
    memory.fill(o, 0, size);
    for (let k = 1; k < n; k++) {
      x += row;
      const index = f32x4.splat(f32(k));
      let j: usize = 0;
      for (const end = size & ~15; j < end; j += 16) {
        const y = v128.load(x + j);
        const best = v128.load(Chunk.row() + j);
        const wins = Extreme.beats<F>(y, best);
        v128.store(Chunk.row() + j, v128.bitselect(y, best, wins));
        v128.store(o + j, v128.bitselect(index, v128.load(o + j), wins));
      }
      for (; j < size; j += 4) {
        const y = v128.load32_splat(x + j);
        if (!v128.any_true(Extreme.beats<F>(y, v128.load32_splat(Chunk.row() + j)))) continue;
        v128.store32_lane(Chunk.row() + j, y, 0);
        f32.store(o + j, f32(k));
      }
    }
  }
}

export function max(o: usize, x: usize, outer: i32, n: i32, inner: i32): void {
  Extreme.values<Most>(o, x, outer, n, inner);
}
export function min(o: usize, x: usize, outer: i32, n: i32, inner: i32): void {
  Extreme.values<Least>(o, x, outer, n, inner);
}
export function argmax(o: usize, x: usize, outer: i32, n: i32, inner: i32): void {
  Extreme.indices<Most>(o, x, outer, n, inner);
}
export function argmin(o: usize, x: usize, outer: i32, n: i32, inner: i32): void {
  Extreme.indices<Least>(o, x, outer, n, inner);
}

/** Running sums in double. */
export function cumsum(o: usize, x: usize, outer: i32, n: i32, inner: i32, reverse: i32): void {
  const row = bytes(inner);
  const step: usize = reverse ? 0 - row : row;
  const first: usize = reverse && n > 0 ? usize(n - 1) * row : 0;
  for (let i = 0; i < outer; i++, o += usize(n) * row, x += usize(n) * row) {
    let j: usize = 0;
    for (const end = row & ~7; j < end; j += 8) {
      let at = first + j;
      let total = f64x2.splat(0);
      for (let k = 0; k < n; k++, at += step) {
        total = f64x2.add(total, Double.low(x + at));
        v128.store64_lane(o + at, f32x4.demote_f64x2_zero(total), 0);
      }
    }
    if (j == row) continue;
    let at = first + j;
    let total: f64 = 0;
    for (let k = 0; k < n; k++, at += step) {
      total += f64(f32.load(x + at));
      f32.store(o + at, f32(total));
    }
  }
}

export function norm2(o: usize, x: usize, n: i32): void {
  const total = Leaves.sum<Multiplied>(x, x, n);
  if (Part.ends()) Double.store(o, Math.sqrt(total));
}
export function dot(o: usize, a: usize, b: usize, n: i32): void {
  const total = Leaves.sum<Multiplied>(a, b, n);
  if (Part.ends()) Double.store(o, total);
}
