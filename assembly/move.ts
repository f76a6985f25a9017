// Moves.
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
  for (let i = 0; i < d0; i++)
    for (let j = 0; j < d1; j++)
      for (let k = 0; k < d2; k++)
        for (let l = 0; l < d3; l++)
          f32.store(
            o + (usize(i * o0 + j * o1 + k * o2 + l * o3) << 2),
            f32.load(x + (usize(i * i0 + j * i1 + k * i2 + l * i3) << 2)),
          );
}
export function take(o: usize, x: usize, index: usize, outer: i32, n: i32, inner: i32, m: i32): void {
  for (let q = 0; q < outer; q++)
    for (let k = 0; k < m; k++) {
      const at = load<i32>(index + (usize(k) << 2));
      for (let i = 0; i < inner; i++)
        f32.store(
          o + (usize((q * m + k) * inner + i) << 2),
          u32(at) < u32(n) ? f32.load(x + (usize((q * n + at) * inner + i) << 2)) : f32.NaN,
        );
    }
}
export function takeGrad(o: usize, x: usize, index: usize, outer: i32, n: i32, inner: i32, m: i32): void {
  for (let q = 0; q < outer; q++)
    for (let k = 0; k < m; k++) {
      const at = load<i32>(index + (usize(k) << 2));
      if (u32(at) >= u32(n)) continue;
      for (let i = 0; i < inner; i++) {
        const to = o + (usize((q * n + at) * inner + i) << 2);
        f32.store(to, f32.load(to) + f32.load(x + (usize((q * m + k) * inner + i) << 2)));
      }
    }
}
export function gather(o: usize, x: usize, index: usize, outer: i32, n: i32, inner: i32, m: i32): void {
  for (let q = 0; q < outer; q++)
    for (let k = 0; k < m; k++)
      for (let i = 0; i < inner; i++) {
        const e = usize((q * m + k) * inner + i) << 2;
        const at = load<i32>(index + e);
        f32.store(o + e, u32(at) < u32(n) ? f32.load(x + (usize((q * n + at) * inner + i) << 2)) : f32.NaN);
      }
}
export function scatterAdd(o: usize, x: usize, index: usize, outer: i32, n: i32, inner: i32, m: i32): void {
  for (let q = 0; q < outer; q++)
    for (let k = 0; k < m; k++)
      for (let i = 0; i < inner; i++) {
        const e = usize((q * m + k) * inner + i) << 2;
        const at = load<i32>(index + e);
        if (u32(at) >= u32(n)) continue;
        const to = o + (usize((q * n + at) * inner + i) << 2);
        f32.store(to, f32.load(to) + f32.load(x + e));
      }
}
export function toIndex(o: usize, x: usize, n: i32): void {
  for (let k = 0; k < n; k++) {
    const v = f32.load(x + (usize(k) << 2));
    store<i32>(o + (usize(k) << 2), v >= 0 && v < 16777216 ? i32(v) : -1);
  }
}
