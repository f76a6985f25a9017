// Gradients by the weight where an output sees a single channel: sums over positions of a plane of gradients, read in place, with
// what each tap sees of a padded copy (copies.ts), some taps at a time. Rows go by vector after vector; what is left of a row
// is a vector that ends with it, in which other lanes are zeros.
import { Copies, ROOM } from './copies';
import { Conv } from './geometry';
import { Eight, Five, Four, One, Seven, Six, Three, Two } from './numbers';
import { Part } from './part';
import { Scratch } from './scratch';
import { Lanes, MOST_SUMS } from './simd';

/** Positions that are summed at a time: sums of more would be less accurate. */
const POSITIONS: i32 = 1024;

/** What goes by at a time: some images, or some rows of one. */
class Piece {
  static images: i32 = 0;
  static rows: i32 = 0;
  /** Bytes from one image's gradients to the next one's. */
  static step: usize = 0;

  @inline static copies(): usize {
    return Scratch.a();
  }
  @inline static sums(): usize {
    return Scratch.a() + ROOM;
  }
  /** Where taps find the first position. */
  @inline static list(): usize {
    return Scratch.b();
  }
}

/** Whether this is a way: parts are groups. Makes the copies ready for it. */
export function suitsSweep(): bool {
  if (Conv.groups == 1 || Conv.cg != 1 || Conv.kg > 2 || Conv.ow < 4 || Conv.ow > POSITIONS || Conv.oh < 1)
    return false;
  Piece.rows = min(Conv.oh, POSITIONS / Conv.ow);
  Copies.over(Conv.h, Conv.w, Conv.r, Conv.s, Conv.sh, Conv.sw, Conv.ph, Conv.pw, Conv.dh, Conv.dw);
  Copies.shared = true;
  Copies.cut(Piece.rows, Conv.ow);
  const room = min(Conv.n, i32(ROOM / Copies.channel));
  Piece.images = Piece.rows < Conv.oh ? min(1, room) : min(room, max(1, POSITIONS / (Conv.oh * Conv.ow)));
  return Piece.images > 0;
}

export function sweepWeight(gw: usize, x: usize, g: usize): void {
  const taps = Conv.r * Conv.s;
  list();
  Piece.step = usize(Conv.k) * Conv.outPlane();
  const bytes = usize(taps * Conv.kg) << 4;
  memory.fill(Piece.copies(), 0, usize(Piece.images) * Copies.channel);
  const last = Part.to(Conv.groups, 1);
  for (let e = Part.from(Conv.groups, 1); e < last; e++) {
    memory.fill(Piece.sums(), 0, bytes);
    for (let q = 0; q < Conv.n; q += Piece.images)
      for (let i = 0; i < Conv.oh; i += Piece.rows) piece(x, g, e, q, i);
    for (let t: usize = 0; t < bytes; t += 16)
      f32.store(gw + usize(e) * (bytes >> 2) + (t >> 2), f32(Lanes.sum64(v128.load(Piece.sums() + t))));
  }
}

/** What the rows from the i-th on give, of images from the q-th on, in group e. */
function piece(x: usize, g: usize, e: i32, q: i32, i: i32): void {
  const images = min(Piece.images, Conv.n - q);
  const rows = min(Piece.rows, Conv.oh - i);
  if (Piece.rows < Conv.oh) {
    Copies.cut(rows, Conv.ow);
    memory.fill(Piece.copies(), 0, Copies.channel);
    list();
  }
  for (let k = 0; k < images; k++)
    Copies.fill(
      Piece.copies() + usize(k) * Copies.channel,
      x + usize((q + k) * Conv.c + e) * Conv.inPlane(),
      1,
      i,
      0,
    );
  const taps = Conv.r * Conv.s;
  const some = (taps + MOST_SUMS - 1) / MOST_SUMS;
  for (let f = 0; f < Conv.kg; f++) {
    const from = g + usize(q * Conv.k + e * Conv.kg + f) * Conv.outPlane() + (usize(i * Conv.ow) << 2);
    const to = Piece.sums() + (usize(f * taps) << 4);
    for (let k = 0; k < some; k++) {
      const first = (k * taps) / some;
      add(to, first, ((k + 1) * taps) / some - first, from, images, rows);
    }
  }
}
/** Where taps find the first position: copies of fewer rows are smaller. */
function list(): void {
  const taps = Conv.r * Conv.s;
  for (let t = 0; t < taps; t++)
    store<usize>(Piece.list() + (usize(t) << 2), Piece.copies() + Copies.tap(t / Conv.s, t % Conv.s));
}

/** Adds the sums of `n` taps from the t-th on. */
function add(to: usize, t: i32, n: i32, g: usize, images: i32, rows: i32): void {
  to += usize(t) << 4;
  const from = Piece.list() + (usize(t) << 2);
  if (n == 8) sums<Eight>(to, from, g, images, rows);
  else if (n == 7) sums<Seven>(to, from, g, images, rows);
  else if (n == 6) sums<Six>(to, from, g, images, rows);
  else if (n == 5) sums<Five>(to, from, g, images, rows);
  else if (n == 4) sums<Four>(to, from, g, images, rows);
  else if (n == 3) sums<Three>(to, from, g, images, rows);
  else if (n == 2) sums<Two>(to, from, g, images, rows);
  else sums<One>(to, from, g, images, rows);
}
function sums<N>(to: usize, taps: usize, g: usize, images: i32, rows: i32): void {
  const n = changetype<N>(0).n();
  const bytes = usize(Conv.ow & ~3) << 2;
  const rest = Conv.ow & 3;
  const back = 16 - (usize(rest) << 2);
  const gap = (usize(Copies.pitch) << 2) - bytes;
  const image = Copies.channel - (usize(rows * Copies.pitch) << 2);
  const away = Piece.step - (usize(rows * Conv.ow) << 2);
  const x0 = load<usize>(taps);
  const x1 = n > 1 ? load<usize>(taps, 4) : 0;
  const x2 = n > 2 ? load<usize>(taps, 8) : 0;
  const x3 = n > 3 ? load<usize>(taps, 12) : 0;
  const x4 = n > 4 ? load<usize>(taps, 16) : 0;
  const x5 = n > 5 ? load<usize>(taps, 20) : 0;
  const x6 = n > 6 ? load<usize>(taps, 24) : 0;
  const x7 = n > 7 ? load<usize>(taps, 28) : 0;
  let p0 = f32x4.splat(0);
  let p1 = p0;
  let p2 = p0;
  let p3 = p0;
  let p4 = p0;
  let p5 = p0;
  let p6 = p0;
  let p7 = p0;
  let at: usize = 0;
  for (; images > 0; images--, g += away, at += image)
    for (let i = rows; i > 0; i--, at += gap) {
      const end = g + bytes;
      do {
        const z = v128.load(g);
        p0 = Lanes.madd(v128.load(x0 + at), z, p0);
        if (n > 1) p1 = Lanes.madd(v128.load(x1 + at), z, p1);
        if (n > 2) p2 = Lanes.madd(v128.load(x2 + at), z, p2);
        if (n > 3) p3 = Lanes.madd(v128.load(x3 + at), z, p3);
        if (n > 4) p4 = Lanes.madd(v128.load(x4 + at), z, p4);
        if (n > 5) p5 = Lanes.madd(v128.load(x5 + at), z, p5);
        if (n > 6) p6 = Lanes.madd(v128.load(x6 + at), z, p6);
        if (n > 7) p7 = Lanes.madd(v128.load(x7 + at), z, p7);
        g += 16;
        at += 16;
      } while (g < end);
      if (rest) {
        const mask = v128.load(Lanes.lastOnes(rest));
        const z = v128.and(v128.load(g - back), mask);
        const b = at - back;
        p0 = Lanes.madd(v128.and(v128.load(x0 + b), mask), z, p0);
        if (n > 1) p1 = Lanes.madd(v128.and(v128.load(x1 + b), mask), z, p1);
        if (n > 2) p2 = Lanes.madd(v128.and(v128.load(x2 + b), mask), z, p2);
        if (n > 3) p3 = Lanes.madd(v128.and(v128.load(x3 + b), mask), z, p3);
        if (n > 4) p4 = Lanes.madd(v128.and(v128.load(x4 + b), mask), z, p4);
        if (n > 5) p5 = Lanes.madd(v128.and(v128.load(x5 + b), mask), z, p5);
        if (n > 6) p6 = Lanes.madd(v128.and(v128.load(x6 + b), mask), z, p6);
        if (n > 7) p7 = Lanes.madd(v128.and(v128.load(x7 + b), mask), z, p7);
        g += usize(rest) << 2;
      }
    }
  v128.store(to, f32x4.add(v128.load(to), p0));
  if (n > 1) v128.store(to, f32x4.add(v128.load(to, 16), p1), 16);
  if (n > 2) v128.store(to, f32x4.add(v128.load(to, 32), p2), 32);
  if (n > 3) v128.store(to, f32x4.add(v128.load(to, 48), p3), 48);
  if (n > 4) v128.store(to, f32x4.add(v128.load(to, 64), p4), 64);
  if (n > 5) v128.store(to, f32x4.add(v128.load(to, 80), p5), 80);
  if (n > 6) v128.store(to, f32x4.add(v128.load(to, 96), p6), 96);
  if (n > 7) v128.store(to, f32x4.add(v128.load(to, 112), p7), 112);
}
