// Exponentials of a row of numbers, and their sum: in float32 within 4096 elements and in double beyond.
import { Curve } from './curves';
import { Lanes } from './simd';

/** Elements whose exponentials are added in float32. */
const BLOCK: usize = 16384;

export class Row {
  /** Σ e^(x - top); the terms are stored at `o` unless that is 0. */
  static exponentials(o: usize, x: usize, size: usize, top: v128): f64 {
    let sum: f64 = 0;
    for (let at: usize = 0; at < size; at += BLOCK) {
      const end = size - at < BLOCK ? size : at + BLOCK;
      sum += o ? Row.storing(o, x, at, end, top) : Row.block(x, at, end, top);
    }
    return sum;
  }
  @inline static term(x: v128, top: v128): v128 {
    return Curve.expDown(f32x4.sub(x, top));
  }
  private static storing(o: usize, x: usize, at: usize, end: usize, top: v128): f64 {
    let s0 = f32x4.splat(0);
    let s1 = s0;
    for (; at + 64 <= end; at += 64) {
      const y0 = Row.term(v128.load(x + at), top);
      const y1 = Row.term(v128.load(x + at, 16), top);
      const y2 = Row.term(v128.load(x + at, 32), top);
      const y3 = Row.term(v128.load(x + at, 48), top);
      v128.store(o + at, y0);
      v128.store(o + at, y1, 16);
      v128.store(o + at, y2, 32);
      v128.store(o + at, y3, 48);
      s0 = f32x4.add(s0, f32x4.add(y0, y1));
      s1 = f32x4.add(s1, f32x4.add(y2, y3));
    }
    for (; at + 16 <= end; at += 16) {
      const y = Row.term(v128.load(x + at), top);
      v128.store(o + at, y);
      s0 = f32x4.add(s0, y);
    }
    let rest: f32 = 0;
    for (; at < end; at += 4) {
      const y = Row.term(v128.load32_splat(x + at), top);
      v128.store32_lane(o + at, y, 0);
      rest += f32x4.extract_lane(y, 0);
    }
    return Lanes.sum64(f32x4.add(s0, s1)) + f64(rest);
  }
  private static block(x: usize, at: usize, end: usize, top: v128): f64 {
    let s0 = f32x4.splat(0);
    let s1 = s0;
    for (; at + 64 <= end; at += 64) {
      const y0 = Row.term(v128.load(x + at), top);
      const y1 = Row.term(v128.load(x + at, 16), top);
      const y2 = Row.term(v128.load(x + at, 32), top);
      const y3 = Row.term(v128.load(x + at, 48), top);
      s0 = f32x4.add(s0, f32x4.add(y0, y1));
      s1 = f32x4.add(s1, f32x4.add(y2, y3));
    }
    for (; at + 16 <= end; at += 16) s0 = f32x4.add(s0, Row.term(v128.load(x + at), top));
    let rest: f32 = 0;
    for (; at < end; at += 4) rest += f32x4.extract_lane(Row.term(v128.load32_splat(x + at), top), 0);
    return Lanes.sum64(f32x4.add(s0, s1)) + f64(rest);
  }
  /** The logarithm of a positive number. */
  static log(x: f64): f32 {
    return f32x4.extract_lane(Curve.log(f32x4.splat(f32(x))), 0);
  }
}
