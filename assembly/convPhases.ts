// Gradients by the input in steps, for few channels: pixels that lie whole steps apart see the same taps, so each such phase of
// the image is a sum over a window of its own, in steps of 1, of one padded copy of the gradient (copies.ts, sweep.ts). Columns
// of different phases are put in turn at the end.
import { Copies, ROOM } from './copies';
import { Conv } from './geometry';
import { Rows } from './rows';
import { Scratch } from './scratch';
import { Sweep } from './sweep';
import { MOST_TAPS } from './window';

/** Bytes for what phases of a row come to. */
const SUMS: usize = ROOM - 8192;
/** With more channels products of all taps, which are then added (fold.ts), are faster. */
const MOST_CHANNELS: i32 = 4;
const MOST_STEPS: i32 = 4;

/** One direction: where taps of a window look, as pixel a + m step sees, of each tap t of its phase a, position m + at(t). */
class Axis {
  @inline static phase(t: i32, step: i32, pad: i32, dilation: i32): i32 {
    const a = (t * dilation - pad) % step;
    return a < 0 ? a + step : a;
  }
  @inline static at(t: i32, step: i32, pad: i32, dilation: i32): i32 {
    return (Axis.phase(t, step, pad, dilation) + pad - t * dilation) / step;
  }
}

class Phases {
  /** Zeros before the gradient's first row and column. */
  static above: i32 = 0;
  static before: i32 = 0;
  /** Rows and columns of the largest phase; rows that go by at a time. */
  static rows: i32 = 0;
  static cols: i32 = 0;
  static some: i32 = 0;

  @inline static copies(): usize {
    return Scratch.spare();
  }
  @inline static sums(): usize {
    return Scratch.spare() + ROOM + 256;
  }
  /** Bytes of a channel's sums of one phase of columns, and of all. */
  @inline static plane(): usize {
    return usize(Phases.some * Phases.cols) << 2;
  }
  @inline static sumsOf(b: i32): usize {
    return Phases.sums() + usize(b * Conv.cg) * Phases.plane();
  }
  /** Of each phase how many taps it has, and where these and their list begin. */
  @inline private static table(a: i32, b: i32): usize {
    return Scratch.tables() + (MOST_TAPS << 3) + (usize(a * MOST_STEPS + b) << 4);
  }
  /** Makes the phase the one at hand, if it has any taps. */
  static take(a: i32, b: i32): bool {
    const at = Phases.table(a, b);
    Rows.taps = load<i32>(at);
    Rows.first = load<usize>(at, 4);
    Rows.begin = load<usize>(at, 8);
    return Rows.taps > 0;
  }
  static leave(): void {
    Rows.first = 0;
    Rows.begin = 0;
  }

  static over(): void {
    const first = Axis.at(Conv.r - 1, Conv.sh, Conv.ph, Conv.dh);
    const left = Axis.at(Conv.s - 1, Conv.sw, Conv.pw, Conv.dw);
    Phases.above = max(0, -first);
    Phases.before = max(0, -left);
    const r = max(0, Axis.at(0, Conv.sh, Conv.ph, Conv.dh)) + Phases.above + 1;
    const s = max(0, Axis.at(0, Conv.sw, Conv.pw, Conv.dw)) + Phases.before + 1;
    Phases.rows = (Conv.h + Conv.sh - 1) / Conv.sh;
    Phases.cols = (Conv.w + Conv.sw - 1) / Conv.sw;
    Copies.over(
      Conv.oh,
      Conv.ow,
      min(r, MOST_TAPS),
      min(s, MOST_TAPS),
      1,
      1,
      Phases.above,
      Phases.before,
      1,
      1,
    );
    Copies.shared = true;
    for (Phases.some = Phases.rows; Phases.some > 1; Phases.some = (Phases.some + 1) >> 1) {
      Copies.cut(Phases.some, Phases.cols);
      if (Phases.fits()) break;
    }
    Copies.cut(Phases.some, Phases.cols);
  }
  static fits(): bool {
    const sums = usize(Conv.sw * Conv.cg) * Phases.plane();
    return usize(Conv.kg) * Copies.channel <= ROOM && sums <= SUMS;
  }

  /** Tells where taps look, phase by phase. */
  static list(): void {
    Phases.leave();
    for (let a = 0; a < Conv.sh; a++)
      for (let b = 0; b < Conv.sw; b++) {
        Rows.taps = 0;
        for (let u = 0; u < Conv.r; u++) if (Axis.phase(u, Conv.sh, Conv.ph, Conv.dh) == a) Phases.row(u, b);
        const at = Phases.table(a, b);
        store<i32>(at, Rows.taps);
        store<usize>(at, Rows.first, 4);
        store<usize>(at, Rows.begin, 8);
        Rows.first += usize(Rows.taps) << 3;
        Rows.begin += usize((Conv.cg + 1) >> 1) * Rows.pair();
      }
  }
  private static row(u: i32, b: i32): void {
    const i = Axis.at(u, Conv.sh, Conv.ph, Conv.dh) + Phases.above;
    for (let v = 0; v < Conv.s; v++) {
      if (Axis.phase(v, Conv.sw, Conv.pw, Conv.dw) != b) continue;
      const j = Axis.at(v, Conv.sw, Conv.pw, Conv.dw) + Phases.before;
      Rows.tap(Rows.taps++, Copies.tap(i, j), (u * Conv.s + v) << 2);
    }
  }
  /** Lists the terms of a group. */
  static fill(wt: usize): void {
    for (let a = 0; a < Conv.sh; a++)
      for (let b = 0; b < Conv.sw; b++) if (Phases.take(a, b)) Rows.fill(wt, 0, 0, Conv.cg);
  }
}

/** Whether this is a way. Makes copies ready for it. */
export function suitsPhases(): bool {
  const steps = max(Conv.sh, Conv.sw);
  const taps = Conv.r * Conv.s;
  if (steps < 2 || steps > MOST_STEPS || taps < 2 || Conv.cg > MOST_CHANNELS) return false;
  if (max(Conv.ph, Conv.pw) >= MOST_TAPS || max(Conv.r * Conv.dh, Conv.s * Conv.dw) >= MOST_TAPS)
    return false;
  Phases.over();
  Rows.ins = Conv.kg;
  Rows.taps = taps + Conv.sh * Conv.sw;
  return Phases.fits() && Rows.holds(Conv.cg);
}

/** Copies must have been made ready. */
export function phases(gx: usize, g: usize, wt: usize): void {
  const taps = usize(Conv.r * Conv.s) << 2;
  Rows.rows = Conv.kg;
  Rows.channel = Copies.channel;
  Rows.out = taps;
  Rows.inn = usize(Conv.cg) * taps;
  Phases.list();
  for (let i = 0; i < Phases.rows; i += Phases.some) {
    Copies.cut(Phases.some, Phases.cols);
    memory.fill(Phases.copies(), 0, usize(Conv.kg) * Copies.channel);
    for (let group = Conv.from; group < Conv.to; group++) {
      Phases.fill(wt + usize(group * Conv.kg) * Rows.inn);
      for (let q = 0; q < Conv.n; q++) {
        Copies.fill(
          Phases.copies(),
          g + usize(q * Conv.k + group * Conv.kg) * Conv.outPlane(),
          Conv.kg,
          i,
          0,
        );
        const to = gx + usize(q * Conv.c + group * Conv.cg) * Conv.inPlane();
        for (let a = 0; a < Conv.sh; a++) rows(to, i, a);
      }
    }
  }
  Phases.leave();
}

/** The rows a + m step of a group's channels, m from i on. */
function rows(gx: usize, i: i32, a: i32): void {
  const count = min(Phases.some, (Conv.h - a + Conv.sh - 1) / Conv.sh - i);
  if (count <= 0) return;
  const plane = Phases.plane();
  const line = usize(Phases.cols) << 2;
  const pitch = usize(Copies.pitch) << 2;
  for (let b = 0; b < Conv.sw; b++) {
    const to = Phases.sumsOf(b);
    if (Phases.take(a, b)) {
      Sweep.over(count, Phases.cols, line, plane, pitch, -Infinity);
      Sweep.run(to, Phases.copies(), Conv.cg);
    } else memory.fill(to, 0, usize(Conv.cg) * plane);
  }
  const first = usize(i * Conv.sh + a) * (usize(Conv.w) << 2);
  for (let e: usize = 0; e < usize(Conv.cg); e++)
    for (let k: usize = 0; k < usize(count); k++) {
      const to = gx + e * Conv.inPlane() + first + k * (usize(Conv.sh * Conv.w) << 2);
      const from = Phases.sums() + e * plane + k * line;
      if (Conv.sw == 2) Turns.two(to, from, from + usize(Conv.cg) * plane);
      else Turns.all(to, from, usize(Conv.cg) * plane);
    }
}
/** Rows of pixels from sums of their phases. */
class Turns {
  /** Even and odd pixels in turn. The last eight overlap those before them. */
  static two(to: usize, even: usize, odd: usize): void {
    let n = Conv.w;
    if (n & 1) f32.store(to + (usize(--n) << 2), f32.load(even + (usize(n) << 1)));
    if (n < 8) {
      for (; n > 0; n -= 2, to += 8, even += 4, odd += 4) {
        f32.store(to, f32.load(even));
        f32.store(to, f32.load(odd), 4);
      }
      return;
    }
    const last = usize(n - 8) << 2;
    for (let at: usize = 0; at < last; at += 32) Turns.eight(to + at, even + (at >> 1), odd + (at >> 1));
    Turns.eight(to + last, even + (last >> 1), odd + (last >> 1));
  }
  @inline private static eight(to: usize, even: usize, odd: usize): void {
    const a = v128.load(even);
    const b = v128.load(odd);
    v128.store(to, i32x4.shuffle(a, b, 0, 4, 1, 5));
    v128.store(to, i32x4.shuffle(a, b, 2, 6, 3, 7), 16);
  }
  /** Any number of phases, `apart` bytes from one to the next. */
  static all(to: usize, from: usize, apart: usize): void {
    for (let b = 0; b < Conv.sw; b++, from += apart)
      for (let j = b; j < Conv.w; j += Conv.sw)
        f32.store(to + (usize(j) << 2), f32.load(from + (usize(j / Conv.sw) << 2)));
  }
}
