// Kernels that move numbers and compute nothing: strided copies in vectors or 4 × 4 transposes, gathers and scatters.
// Indices out of range never touch other memory.
import { Part } from './part';
import { Scratch } from './scratch';
import { Square } from './simd';

class Box {
  @inline static get(kind: usize, k: usize): usize {
    return load<u32>(Scratch.box() + (kind << 4) + (k << 2));
  }
  @inline static set(kind: usize, k: usize, value: usize): void {
    store<u32>(Scratch.box() + (kind << 4) + (k << 2), u32(value));
  }
  static swap(k: usize, l: usize): void {
    for (let kind: usize = 0; kind < 3; kind++) {
      const old = Box.get(kind, k);
      Box.set(kind, k, Box.get(kind, l));
      Box.set(kind, l, old);
    }
  }
  /** Joins neighbouring dimensions that one stride walks through; sizes of 1 move outwards. */
  static join(): void {
    for (let k: usize = 3; k > 0; k--)
      for (let l: usize = k; l-- > 0;) {
        const size = Box.get(0, k);
        if (size == 1) Box.swap(k, l);
        else if (Box.get(0, l) == 1) continue;
        else if (Box.get(1, l) == size * Box.get(1, k) && Box.get(2, l) == size * Box.get(2, k)) {
          Box.set(0, k, size * Box.get(0, l));
          Box.set(0, l, 1);
        } else break;
      }
  }
  /** The dimension along which neighbours are 4 bytes apart in the output (1) or input (2), or 4 if there is none. */
  static unit(kind: usize): usize {
    for (let k: usize = 4; k-- > 0;) if (Box.get(0, k) > 1 && Box.get(kind, k) == 4) return k;
    return 4;
  }
}

/** One row: `n` elements with byte strides. */
function copyRow(o: usize, x: usize, n: usize, so: usize, sx: usize): void {
  if (so == 4 && sx == 4) {
    const bytes = n << 2;
    let i: usize = 0;
    for (const end = bytes & ~15; i < end; i += 16) v128.store(o + i, v128.load(x + i));
    for (; i < bytes; i += 4) f32.store(o + i, f32.load(x + i));
  } else if (so == 4 && sx == 0) {
    const v = v128.load32_splat(x);
    const bytes = n << 2;
    let i: usize = 0;
    for (const end = bytes & ~15; i < end; i += 16) v128.store(o + i, v);
    for (; i < bytes; i += 4) v128.store32_lane(o + i, v, 0);
  } else for (; n > 0; n--, o += so, x += sx) f32.store(o, f32.load(x));
}

/** Columns of the output that are written before the next rows: their input lines are still in L1 then. */
const STRIP: usize = 64;

/** out[i, j] = x[j, i]: rows of the output `so` bytes apart, rows of the input `sx`. */
function transpose(o: usize, x: usize, rows: usize, cols: usize, so: usize, sx: usize): void {
  for (let j: usize = 0; j < cols; j += STRIP)
    transposeStrip(o + (j << 2), x + j * sx, rows, min(STRIP, cols - j), so, sx);
}

function transposeStrip(o: usize, x: usize, rows: usize, cols: usize, so: usize, sx: usize): void {
  for (; rows >= 4; rows -= 4, o += 4 * so, x += 16) {
    let from = x;
    let to = o;
    let j = cols;
    for (; j >= 4; j -= 4, to += 16, from += 4 * sx) {
      const second = from + 2 * sx;
      const r0 = v128.load(from);
      const r1 = v128.load(from + sx);
      Square.transpose(to, so, r0, r1, v128.load(second), v128.load(second + sx));
    }
    for (; j > 0; j--, to += 4, from += sx) {
      const v = v128.load(from);
      v128.store32_lane(to, v, 0);
      v128.store32_lane(to + so, v, 1);
      v128.store32_lane(to + 2 * so, v, 2);
      v128.store32_lane(to + 3 * so, v, 3);
    }
  }
  for (; rows > 0; rows--, o += so, x += 4) copyRow(o, x, cols, 4, sx);
}

export function copy(
  o: usize,
  x: usize,
  d0: i32,
  d1: i32,
  d2: i32,
  d3: i32,
  o0: i32,
  o1: i32,
  o2: i32,
  o3: i32,
  i0: i32,
  i1: i32,
  i2: i32,
  i3: i32,
): void {
  if (d0 <= 0 || d1 <= 0 || d2 <= 0 || d3 <= 0) return;
  v128.store(
    Scratch.box(),
    i32x4.replace_lane(i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(d0), 1, d1), 2, d2), 3, d3),
  );
  const outs = i32x4.replace_lane(
    i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(o0), 1, o1), 2, o2),
    3,
    o3,
  );
  const ins = i32x4.replace_lane(
    i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(i0), 1, i1), 2, i2),
    3,
    i3,
  );
  v128.store(Scratch.box(), i32x4.shl(outs, 2), 16);
  v128.store(Scratch.box(), i32x4.shl(ins, 2), 32);
  Box.join();
  const out = Box.unit(1);
  if (out < 4) Box.swap(out, 3);
  const ahead = Box.unit(2);
  const turned = out < 4 && ahead < 3;
  if (turned) Box.swap(ahead, 2);
  const outer = Box.get(0, 0);
  const middle = Box.get(0, 1);
  for (let a: usize = 0; a < outer; a++)
    for (let b: usize = 0; b < middle; b++) {
      let to = o + a * Box.get(1, 0) + b * Box.get(1, 1);
      let from = x + a * Box.get(2, 0) + b * Box.get(2, 1);
      if (turned) {
        transpose(to, from, Box.get(0, 2), Box.get(0, 3), Box.get(1, 2), Box.get(2, 3));
        continue;
      }
      for (let c = Box.get(0, 2); c > 0; c--, to += Box.get(1, 2), from += Box.get(2, 2))
        copyRow(to, from, Box.get(0, 3), Box.get(1, 3), Box.get(2, 3));
    }
}

export function take(o: usize, x: usize, index: usize, outer: i32, n: i32, inner: i32, m: i32): void {
  const row = usize(inner) << 2;
  const nan = memory.data<f32>([NaN]);
  for (let q = 0; q < outer; q++, x += usize(n) * row)
    for (let k: usize = 0; k < usize(m); k++, o += row) {
      const at = load<i32>(index + (k << 2));
      const inside = u32(at) < u32(n);
      copyRow(o, inside ? x + usize(at) * row : nan, usize(inner), 4, inside ? 4 : 0);
    }
}

/** Bits of an address within a block: half as many, and reading ahead makes two threads slower than one in small tables. */
const BLOCK: usize = 14;

export function takeGrad(o: usize, x: usize, index: usize, outer: i32, n: i32, inner: i32, m: i32): void {
  const row = usize(inner) << 2;
  // A part takes blocks of the output: where neighbouring rows belong to different threads, reading ahead takes lines from
  // the other one's cache.
  for (let q = 0; q < outer; q++, o += usize(n) * row)
    for (let k: usize = 0; k < usize(m); k++, x += row) {
      const at = usize(load<i32>(index + (k << 2)));
      const to = o + at * row;
      if (at < usize(n) && Part.owns(to >> BLOCK)) addRow(to, x, row);
    }
}

/** o += x, so many bytes of each. */
function addRow(o: usize, x: usize, size: usize): void {
  let i: usize = 0;
  for (; i + 64 <= size; i += 64) {
    const y0 = f32x4.add(v128.load(o + i), v128.load(x + i));
    const y1 = f32x4.add(v128.load(o + i, 16), v128.load(x + i, 16));
    const y2 = f32x4.add(v128.load(o + i, 32), v128.load(x + i, 32));
    const y3 = f32x4.add(v128.load(o + i, 48), v128.load(x + i, 48));
    v128.store(o + i, y0);
    v128.store(o + i, y1, 16);
    v128.store(o + i, y2, 32);
    v128.store(o + i, y3, 48);
  }
  for (; i + 16 <= size; i += 16) v128.store(o + i, f32x4.add(v128.load(o + i), v128.load(x + i)));
  for (; i < size; i += 4) f32.store(o + i, f32.load(o + i) + f32.load(x + i));
}

export function gather(o: usize, x: usize, index: usize, outer: i32, n: i32, inner: i32, m: i32): void {
  const row = usize(inner) << 2;
  for (let q = 0; q < outer; q++, x += usize(n) * row)
    for (let k = 0; k < m; k++)
      for (let i: usize = 0; i < row; i += 4, o += 4, index += 4) {
        const at = load<i32>(index);
        f32.store(o, u32(at) < u32(n) ? f32.load(x + usize(at) * row + i) : f32.NaN);
      }
}

export function scatterAdd(o: usize, x: usize, index: usize, outer: i32, n: i32, inner: i32, m: i32): void {
  const row = usize(inner) << 2;
  for (let q = 0; q < outer; q++, o += usize(n) * row)
    for (let k = 0; k < m; k++)
      for (let i: usize = 0; i < row; i += 4, x += 4, index += 4) {
        const at = load<i32>(index);
        if (u32(at) >= u32(n)) continue;
        const to = o + usize(at) * row + i;
        f32.store(to, f32.load(to) + f32.load(x));
      }
}

class Index {
  /** Truncated where 0 ≤ x < 2^24, else -1, which is all ones. */
  @inline static v(x: v128): v128 {
    const inside = v128.and(f32x4.ge(x, f32x4.splat(0)), f32x4.lt(x, f32x4.splat(16777216)));
    return v128.or(i32x4.trunc_sat_f32x4_s(x), v128.not(inside));
  }
}
export function toIndex(o: usize, x: usize, n: i32): void {
  const bytes = usize(n) << 2;
  let i: usize = 0;
  for (const end = bytes & ~15; i < end; i += 16) v128.store(o + i, Index.v(v128.load(x + i)));
  for (; i < bytes; i += 4) v128.store32_lane(o + i, Index.v(v128.load32_splat(x + i)), 0);
}
