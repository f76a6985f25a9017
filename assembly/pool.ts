// Pooling: four neighbouring windows at a time where they lie inside the image's width, the others one by one.

/** The plane and the windows at hand. */
class Pool {
  static h: i32 = 0;
  static w: i32 = 0;
  static kw: i32 = 0;
  static sw: i32 = 0;
  static pw: i32 = 0;
  static oh: i32 = 0;
  static ow: i32 = 0;
  /** Outputs `first` to `last` of a row have windows inside the image's width. */
  static first: i32 = 0;
  static last: i32 = 0;

  static over(h: i32, w: i32, kh: i32, kw: i32, sh: i32, sw: i32, ph: i32, pw: i32): void {
    Pool.h = h;
    Pool.w = w;
    Pool.kw = kw;
    Pool.sw = sw;
    Pool.pw = pw;
    Pool.oh = (h + 2 * ph - kh) / sh + 1;
    Pool.ow = (w + 2 * pw - kw) / sw + 1;
    Pool.first = (pw + sw - 1) / sw;
    Pool.last = w + pw < kw ? 0 : min(Pool.ow, (w + pw - kw) / sw + 1);
  }
  /**
   * How far to step back from output j so that four windows inside the width follow; -1 where there are no four. What is
   * written twice that way is the same twice.
   */
  @inline static back(j: i32): i32 {
    if (j < Pool.first || j >= Pool.last || Pool.last - Pool.first < 4) return -1;
    return max(0, j + 4 - Pool.last);
  }
  /** Elements sw apart; none beyond the fourth is read. */
  @inline static four(p: usize): v128 {
    if (Pool.sw == 1) return v128.load(p);
    if (Pool.sw == 2) return i32x4.shuffle(v128.load(p), v128.load(p, 12), 0, 2, 5, 7);
    const step = usize(Pool.sw) << 2;
    const a = v128.load32_lane(p + step, v128.load32_zero(p), 1);
    return v128.load32_lane(p + 3 * step, v128.load32_lane(p + 2 * step, a, 2), 3);
  }
}

export function maxPool2d(
  y: usize,
  index: usize,
  x: usize,
  planes: i32,
  h: i32,
  w: i32,
  kh: i32,
  kw: i32,
  sh: i32,
  sw: i32,
  ph: i32,
  pw: i32,
): void {
  Pool.over(h, w, kh, kw, sh, sw, ph, pw);
  const squares = kh == 2 && kw == 2 && sh == 2 && sw == 2 && ph == 0 && pw == 0;
  for (let p = 0; p < planes; p++, x += usize(h * w) << 2)
    for (let i = 0; i < Pool.oh; i++) {
      const top = max(0, i * sh - ph);
      const bottom = min(h, i * sh - ph + kh);
      for (let j = 0; j < Pool.ow;) {
        const back = Pool.back(j);
        if (back >= 0) {
          j -= back;
          y -= usize(back) << 2;
          index -= usize(back) << 2;
          if (squares) maxSquares(y, index, x, 2 * i * w + 2 * j);
          else maxFour(y, index, x, top, bottom, j * sw - pw);
          j += 4;
          y += 16;
          index += 16;
        } else {
          maxOne(y, index, x, top, bottom, j * sw - pw);
          j++;
          y += 4;
          index += 4;
        }
      }
    }
}

class Best {
  /** Whether `now` takes the place of `best`: it is greater or NaN, unless that is NaN. */
  @inline static wins(now: v128, best: v128): v128 {
    return v128.andnot(v128.or(f32x4.gt(now, best), f32x4.ne(now, now)), f32x4.ne(best, best));
  }
}

/** maxFour for the commonest windows, 2 × 2 with step 2; `place` is the first window's upper left pixel. */
function maxSquares(y: usize, index: usize, x: usize, place: i32): void {
  const row = x + (usize(place) << 2);
  const below = row + (usize(Pool.w) << 2);
  const t0 = v128.load(row);
  const t1 = v128.load(row, 16);
  const b0 = v128.load(below);
  const b1 = v128.load(below, 16);
  let best = i32x4.shuffle(t0, t1, 0, 2, 4, 6);
  let at = i32x4.splat(0);
  const second = i32x4.shuffle(t0, t1, 1, 3, 5, 7);
  let wins = Best.wins(second, best);
  best = v128.bitselect(second, best, wins);
  // A mask is -1, so it counts steps to the right by itself.
  at = i32x4.sub(at, wins);
  const third = i32x4.shuffle(b0, b1, 0, 2, 4, 6);
  wins = Best.wins(third, best);
  best = v128.bitselect(third, best, wins);
  at = v128.bitselect(i32x4.splat(Pool.w), at, wins);
  const fourth = i32x4.shuffle(b0, b1, 1, 3, 5, 7);
  wins = Best.wins(fourth, best);
  v128.store(y, v128.bitselect(fourth, best, wins));
  at = v128.bitselect(i32x4.splat(Pool.w + 1), at, wins);
  v128.store(index, i32x4.add(at, i32x4.add(i32x4.splat(place), i32x4(0, 2, 4, 6))));
}

/** The first largest in each of four windows, rows top to bottom; NaN counts as largest. */
function maxFour(y: usize, index: usize, x: usize, top: i32, bottom: i32, left: i32): void {
  const steps = i32x4.mul(i32x4.splat(Pool.sw), i32x4(0, 1, 2, 3));
  let best = Pool.four(x + (usize(top * Pool.w + left) << 2));
  let at = i32x4.add(i32x4.splat(top * Pool.w + left), steps);
  for (let u = top; u < bottom; u++)
    for (let v = 0; v < Pool.kw; v++) {
      const place = u * Pool.w + left + v;
      const now = Pool.four(x + (usize(place) << 2));
      const wins = Best.wins(now, best);
      best = v128.bitselect(now, best, wins);
      at = v128.bitselect(i32x4.add(i32x4.splat(place), steps), at, wins);
    }
  v128.store(y, best);
  v128.store(index, at);
}

function maxOne(y: usize, index: usize, x: usize, top: i32, bottom: i32, left: i32): void {
  let at = top * Pool.w + max(0, left);
  let best = f32.load(x + (usize(at) << 2));
  for (let u = top; u < bottom; u++)
    for (let v = max(0, left); v < min(Pool.w, left + Pool.kw); v++) {
      const now = f32.load(x + (usize(u * Pool.w + v) << 2));
      if (best != best || !(now != now || now > best)) continue;
      at = u * Pool.w + v;
      best = now;
    }
  f32.store(y, best);
  store<i32>(index, at);
}

export function maxPool2dGrad(
  gx: usize,
  g: usize,
  index: usize,
  planes: i32,
  h: i32,
  w: i32,
  kh: i32,
  kw: i32,
  sh: i32,
  sw: i32,
  ph: i32,
  pw: i32,
): void {
  Pool.over(h, w, kh, kw, sh, sw, ph, pw);
  const bytes = usize(h * w) << 2;
  for (let p = 0; p < planes; p++, gx += bytes) {
    memory.fill(gx, 0, bytes);
    for (let i = 0; i < Pool.oh; i++) {
      const top = max(0, i * sh - ph);
      const bottom = min(h, i * sh - ph + kh);
      for (let j = 0; j < Pool.ow; j++, g += 4, index += 4) {
        const left = max(0, j * sw - pw);
        const width = min(w, j * sw - pw + kw) - left;
        const at = load<i32>(index);
        for (let u = top; u < bottom; u++) {
          if (u32(at - u * w - left) >= u32(width)) continue;
          const to = gx + (usize(at) << 2);
          f32.store(to, f32.load(to) + f32.load(g));
          break;
        }
      }
    }
  }
}

export function avgPool2d(
  y: usize,
  x: usize,
  planes: i32,
  h: i32,
  w: i32,
  kh: i32,
  kw: i32,
  sh: i32,
  sw: i32,
  ph: i32,
  pw: i32,
  countPad: i32,
): void {
  Pool.over(h, w, kh, kw, sh, sw, ph, pw);
  for (let p = 0; p < planes; p++, x += usize(h * w) << 2)
    for (let i = 0; i < Pool.oh; i++) {
      const top = max(0, i * sh - ph);
      const bottom = min(h, i * sh - ph + kh);
      for (let j = 0; j < Pool.ow;) {
        const back = Pool.back(j);
        if (back >= 0) {
          j -= back;
          y -= usize(back) << 2;
          const share = f32x4.splat(f32(countPad ? kh * kw : (bottom - top) * kw));
          v128.store(y, f32x4.div(sumFour(x, top, bottom, j * sw - pw), share));
          j += 4;
          y += 16;
        } else {
          const left = j * sw - pw;
          const from = max(0, left);
          const to = min(w, left + kw);
          const share = f32(countPad ? kh * kw : (bottom - top) * (to - from));
          f32.store(y, sumOne(x, top, bottom, from, to) / share);
          j++;
          y += 4;
        }
      }
    }
}

function sumFour(x: usize, top: i32, bottom: i32, left: i32): v128 {
  let sum = f32x4.splat(0);
  for (let u = top; u < bottom; u++)
    for (let v = left; v < left + Pool.kw; v++)
      sum = f32x4.add(sum, Pool.four(x + (usize(u * Pool.w + v) << 2)));
  return sum;
}

function sumOne(x: usize, top: i32, bottom: i32, left: i32, right: i32): f32 {
  let sum: f32 = 0;
  for (let u = top; u < bottom; u++)
    for (let v = left; v < right; v++) sum += f32.load(x + (usize(u * Pool.w + v) << 2));
  return sum;
}

export function avgPool2dGrad(
  gx: usize,
  g: usize,
  planes: i32,
  h: i32,
  w: i32,
  kh: i32,
  kw: i32,
  sh: i32,
  sw: i32,
  ph: i32,
  pw: i32,
  countPad: i32,
): void {
  Pool.over(h, w, kh, kw, sh, sw, ph, pw);
  memory.fill(gx, 0, usize(planes * h * w) << 2);
  for (let p = 0; p < planes; p++, gx += usize(h * w) << 2)
    for (let i = 0; i < Pool.oh; i++) {
      const top = max(0, i * sh - ph);
      const bottom = min(h, i * sh - ph + kh);
      for (let j = 0; j < Pool.ow; j++, g += 4) {
        const left = max(0, j * sw - pw);
        const right = min(w, j * sw - pw + kw);
        const share = f32.load(g) / f32(countPad ? kh * kw : (bottom - top) * (right - left));
        for (let u = top; u < bottom; u++)
          for (let v = left; v < right; v++) {
            const at = gx + (usize(u * w + v) << 2);
            f32.store(at, f32.load(at) + share);
          }
      }
    }
}
