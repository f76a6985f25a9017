// Kernels that choose, fill, and change arrays in place by numbers.

export function fill(o: usize, value: f64, n: i32): void {
  const v = f32x4.splat(f32(value));
  const end = o + (usize(n) << 2);
  for (; o + 16 <= end; o += 16) v128.store(o, v);
  for (; o < end; o += 4) v128.store32_lane(o, v, 0);
}

class Select {
  @inline static v(c: v128, a: v128, b: v128): v128 {
    return v128.bitselect(a, b, f32x4.ne(c, f32x4.splat(0)));
  }
}
export function where(o: usize, c: usize, a: usize, b: usize, n: i32): void {
  const bytes = usize(n) << 2;
  let i: usize = 0;
  for (const end = bytes & ~15; i < end; i += 16)
    v128.store(o + i, Select.v(v128.load(c + i), v128.load(a + i), v128.load(b + i)));
  for (; i < bytes; i += 4) {
    const y = Select.v(v128.load32_splat(c + i), v128.load32_splat(a + i), v128.load32_splat(b + i));
    v128.store32_lane(o + i, y, 0);
  }
}

/** y + alpha x. */
class Scaled {
  @inline static v(y: v128, x: v128, alpha: v128): v128 {
    return f32x4.add(y, f32x4.mul(alpha, x));
  }
}
export function axpy(y: usize, x: usize, alpha: f64, n: i32): void {
  if (alpha == 0) return;
  const a = f32x4.splat(f32(alpha));
  const bytes = usize(n) << 2;
  let i: usize = 0;
  for (const end = bytes & ~15; i < end; i += 16)
    v128.store(y + i, Scaled.v(v128.load(y + i), v128.load(x + i), a));
  for (; i < bytes; i += 4)
    v128.store32_lane(y + i, Scaled.v(v128.load32_splat(y + i), v128.load32_splat(x + i), a), 0);
}

/** r + momentum (scale x - r). */
class Blended {
  @inline static v(r: v128, x: v128, momentum: v128, scale: v128): v128 {
    return f32x4.add(r, f32x4.mul(momentum, f32x4.sub(f32x4.mul(scale, x), r)));
  }
}
export function affine(x: usize, scale: f64, shift: f64, n: i32): void {
  for (const end = x + (usize(n) << 2); x < end; x += 4)
    store<f32>(x, f32(shift + scale * f64(load<f32>(x))));
}

export function blend(r: usize, x: usize, momentum: f64, scale: f64, n: i32): void {
  const a = f32x4.splat(f32(momentum));
  const s = f32x4.splat(f32(scale));
  const bytes = usize(n) << 2;
  let i: usize = 0;
  for (const end = bytes & ~15; i < end; i += 16)
    v128.store(r + i, Blended.v(v128.load(r + i), v128.load(x + i), a, s));
  for (; i < bytes; i += 4)
    v128.store32_lane(r + i, Blended.v(v128.load32_splat(r + i), v128.load32_splat(x + i), a, s), 0);
}
