// Counter-based random numbers: Philox4x32-10 on four blocks at once. Element k depends on the words, the draw and k only.
import { Curve } from './curves';
import { Part } from './part';
import { Scratch } from './scratch';
import { Square } from './simd';

const CONSTANTS: usize = memory.data<f32>([5.9604644775390625e-8, 1, -2, 1.57079633]);

/** The multipliers of the paper. */
const MULTIPLIERS: usize = memory.data<u32>([0xd2511f53, 0xcd9e8d57]);

export class Philox {
  /** The ten rounds' keys, and the stream. Every kernel begins with this. */
  static begin(words: usize, draw: i32): void {
    let k0 = load<u32>(words);
    let k1 = load<u32>(words, 4);
    for (let at: usize = 0; at < 80; at += 8) {
      store<u32>(Scratch.keys() + at, k0);
      store<u32>(Scratch.keys() + at, k1, 4);
      k0 += 0x9e3779b9;
      k1 += 0xbb67ae85;
    }
    store<u32>(Scratch.keys(), load<u32>(words, 8) + draw, 80);
  }
  /** Words 0 to 3 of blocks `index` to `index + 3`, word w of all four in the vector at BLOCK + 16 w. */
  static blocks(index: i32): void {
    let c0 = i32x4.add(i32x4.splat(index), i32x4(0, 1, 2, 3));
    let c1 = v128.load32_splat(Scratch.keys(), 80);
    let c2 = i32x4.splat(0);
    let c3 = i32x4.splat(0);
    for (let key = Scratch.keys(), end = Scratch.keys() + 80; key < end; key += 8) {
      const m0 = v128.load32_splat(MULTIPLIERS);
      const m1 = v128.load32_splat(MULTIPLIERS, 4);
      const a = i64x2.extmul_low_i32x4_u(c0, m0);
      const b = i64x2.extmul_high_i32x4_u(c0, m0);
      const c = i64x2.extmul_low_i32x4_u(c2, m1);
      const d = i64x2.extmul_high_i32x4_u(c2, m1);
      c0 = v128.xor(v128.xor(i32x4.shuffle(c, d, 1, 3, 5, 7), c1), v128.load32_splat(key));
      c1 = i32x4.shuffle(c, d, 0, 2, 4, 6);
      c2 = v128.xor(v128.xor(i32x4.shuffle(a, b, 1, 3, 5, 7), c3), v128.load32_splat(key, 4));
      c3 = i32x4.shuffle(a, b, 0, 2, 4, 6);
    }
    v128.store(Scratch.block(), c0);
    v128.store(Scratch.block(), c1, 16);
    v128.store(Scratch.block(), c2, 32);
    v128.store(Scratch.block(), c3, 48);
  }
  /** The upper 24 bits of word w as numbers in [0, 1). */
  @inline static uniform(w: usize): v128 {
    const bits = i32x4.shr_u(v128.load(Scratch.block() + 16 * w), 8);
    return f32x4.mul(f32x4.convert_i32x4_s(bits), v128.load32_splat(CONSTANTS));
  }
  @inline static radius(u: v128): v128 {
    const log = Curve.log(f32x4.sub(v128.load32_splat(CONSTANTS, 4), u));
    return f32x4.sqrt(f32x4.mul(v128.load32_splat(CONSTANTS, 8), log));
  }
  /** sin of 2π v plus `quarter` quarter turns; v is reduced exactly before it meets π. */
  @inline static wave(v: v128, quarter: i32): v128 {
    const turns = f32x4.mul(v, f32x4.splat(4));
    const whole = f32x4.nearest(turns);
    const r = f32x4.mul(f32x4.sub(turns, whole), v128.load32_splat(CONSTANTS, 12));
    // The magic number leaves the integer in the low bits.
    const bits = f32x4.add(whole, f32x4.splat(12582912));
    return Curve.turned(r, i32x4.add(bits, i32x4.splat(quarter)));
  }
}

/** Elements 4 index to 4 index + 15 of a stream, written at `o`. */
@final
@unmanaged
class Uniform {
  @inline put(o: usize, index: i32): void {
    Philox.blocks(index);
    Square.transpose(o, 16, Philox.uniform(0), Philox.uniform(1), Philox.uniform(2), Philox.uniform(3));
  }
}

@final
@unmanaged
class Normal {
  @inline put(o: usize, index: i32): void {
    Philox.blocks(index);
    const r = Philox.radius(Philox.uniform(0));
    const v = Philox.uniform(1);
    const s = Philox.radius(Philox.uniform(2));
    const w = Philox.uniform(3);
    const even = f32x4.mul(r, Philox.wave(v, 1));
    const odd = f32x4.mul(r, Philox.wave(v, 0));
    Square.transpose(o, 16, even, odd, f32x4.mul(s, Philox.wave(w, 1)), f32x4.mul(s, Philox.wave(w, 0)));
  }
}

/** Runs a generator over n elements, sixteen at a time; the last ones pass through TAIL. */
function generate<G>(o: usize, words: usize, draw: i32, n: i32): void {
  Philox.begin(words, draw);
  const g = changetype<G>(0);
  let k = Part.from(n, 16);
  const end = Part.to(n, 16);
  for (; k + 16 <= end; k += 16) g.put(o + (usize(k) << 2), k >> 2);
  if (k == end) return;
  g.put(Scratch.tail(), k >> 2);
  memory.copy(o + (usize(k) << 2), Scratch.tail(), usize(end - k) << 2);
}

export function uniform(o: usize, words: usize, draw: i32, n: i32): void {
  generate<Uniform>(o, words, draw, n);
}

export function normal(o: usize, words: usize, draw: i32, n: i32): void {
  generate<Normal>(o, words, draw, n);
}

export function dropout(o: usize, x: usize, words: usize, draw: i32, p: f64, n: i32): void {
  Philox.begin(words, draw);
  const keep = f32x4.splat(f32(1.0 / (1.0 - p)));
  const limit = f32x4.splat(f32(p));
  const end = Part.to(n, 16);
  for (let k = Part.from(n, 16); k < end; k += 16) {
    changetype<Uniform>(0).put(Scratch.tail(), k >> 2);
    const last = min(end, k + 16);
    let j = k;
    for (; j + 4 <= last; j += 4) {
      const at = usize(j) << 2;
      const kept = f32x4.ge(v128.load(Scratch.tail() + (usize(j - k) << 2)), limit);
      v128.store(o + at, v128.and(f32x4.mul(v128.load(x + at), keep), kept));
    }
    for (; j < last; j++) {
      const at = usize(j) << 2;
      const kept = f32x4.ge(v128.load32_splat(Scratch.tail() + (usize(j - k) << 2)), limit);
      v128.store32_lane(o + at, v128.and(f32x4.mul(v128.load32_splat(x + at), keep), kept), 0);
    }
  }
}
