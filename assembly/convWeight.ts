// The gradient of a convolution by its weight: for each output and each row (channel, tap) of columns(x) a sum over positions.
// Both lie position after position, the gradient in place and the rows in copies of the image, so nothing else is packed.
import { Conv } from './geometry';
import { Copies, ROOM } from './copies';
import { isDepthwise } from './depthwise';
import { depthwiseWeight } from './depthwiseWeight';
import { Dots } from './dots';
import { Part } from './part';
import { plain, WEIGHT } from './plain';
import { Scratch } from './scratch';
import { Lanes } from './simd';
import { suitsSweep, sweepWeight } from './sweepWeight';
import { MOST_TAPS } from './window';
import { suitsWinogradWeight } from './winograd';
import { winogradWeight } from './winogradWeight';

/** Positions of a block: rows of a block stay in L1 by two and four, all its gradients in L2. */
const POSITIONS: i32 = 1024;
const LEAST: i32 = 512;
/** Bytes that copies take where a block may have fewer images. */
const BLOCK: usize = 1 << 18;
/** Bytes for sums, four lanes each, and those that they take where fewer channels may go by at a time. */
const SUMS: usize = (2 << 20) - 4096;
const SHARE: usize = 1 << 19;
/** Rows of columns(x), and outputs, that the lists hold. */
const MOST_ROWS: i32 = 8192;
const MOST_OUTPUTS: i32 = 512;

/**
 * What goes by at a time: channels and outputs of a group, and of positions whole images where they are small, else rows of an
 * image, or parts of one row. All of it is the same in all parts.
 */
class Block {
  static channels: i32 = 0;
  static outs: i32 = 0;
  static images: i32 = 0;
  static rows: i32 = 0;
  static cols: i32 = 0;
  /** Outputs of an image, in rows and columns: a single row where nothing is copied. */
  static oh: i32 = 0;
  static ow: i32 = 0;
  /** Whether rows of columns(x) are the image itself. */
  static direct: bool = false;

  static choose(): void {
    const steps = Conv.sh == 1 && Conv.sw == 1;
    Block.direct = steps && Conv.r == 1 && Conv.s == 1 && Conv.ph == 0 && Conv.pw == 0;
    Block.oh = Block.direct ? 1 : Conv.oh;
    Block.ow = Block.direct ? Conv.oh * Conv.ow : Conv.ow;
    Block.cols = min(Block.ow, POSITIONS);
    Block.rows = Block.cols < Block.ow ? 1 : min(Block.oh, max(1, POSITIONS / Block.ow));
    Copies.over(Conv.h, Conv.w, Conv.r, Conv.s, Conv.sh, Conv.sw, Conv.ph, Conv.pw, Conv.dh, Conv.dw);
    Copies.cut(Block.rows, Block.cols);
    const taps = usize(Conv.r * Conv.s);
    const window = taps << 4;
    Block.outs = min(Conv.kg, min(MOST_OUTPUTS, i32(SUMS / window)));
    const share = max(1, i32(SHARE / (window * usize(Block.outs))));
    const room = Block.direct ? MOST_ROWS : min(MOST_ROWS / i32(taps), i32(ROOM / Copies.channel));
    Block.channels = min(Conv.cg, min(share, room));
    Block.images = 1;
    if (Block.rows < Block.oh || Block.cols < Block.ow) return;
    const enough = (LEAST + Block.oh * Block.ow - 1) / (Block.oh * Block.ow);
    const most = Block.direct ? enough : i32(BLOCK / (Copies.channel * usize(max(1, Block.channels))));
    Block.images = max(1, min(Conv.n, min(enough, most)));
  }
  /** Whether a block has only a part of an image, so that what is outside changes from block to block. */
  @inline static partial(): bool {
    return Block.rows < Block.oh || Block.cols < Block.ow;
  }
}

/** What is computed at a time: outputs `f` to `f + outs` of all, rows `from` to `to` of a group. */
class Share {
  static f: i32 = 0;
  static outs: i32 = 0;
  static from: i32 = 0;
  static to: i32 = 0;
  /** The group's first channel, and the first of the copies. */
  static group: i32 = 0;
  static channel: i32 = 0;

  @inline static rows(): i32 {
    return Share.to - Share.from;
  }
  @inline static copies(): usize {
    return Scratch.a();
  }
  @inline static sums(): usize {
    return Scratch.a() + ROOM;
  }
  /** Where rows and gradients begin. Lists go on with the last of them, as tiles look at four or eight. */
  @inline static rowList(): usize {
    return Scratch.b();
  }
  @inline static list(): usize {
    return Scratch.b() + (1 << 16);
  }
}

export function gradWeight(gw: usize, x: usize, g: usize): void {
  const size = Conv.oh * Conv.ow;
  const taps = Conv.r * Conv.s;
  const row = Conv.cg * taps;
  const some = Conv.n * size > 0 && Conv.kg > 0 && Conv.cg > 0;
  if (some && suitsWinogradWeight()) return winogradWeight(gw, x, g);
  if (some && isDepthwise()) return depthwiseWeight(gw, x, g);
  const fast = some && taps <= MOST_TAPS;
  if (fast && suitsSweep()) return sweepWeight(gw, x, g);
  if (fast) Block.choose();
  if (!fast || Block.channels == 0) {
    // Parts are filters here, and below groups, or rows of columns(x) when there is only one group.
    const first = Part.from(Conv.k, 1);
    memory.fill(gw + (usize(first * row) << 2), 0, usize((Part.to(Conv.k, 1) - first) * row) << 2);
    if (some) plain(WEIGHT, x, gw, g);
    return;
  }
  const single = Conv.groups == 1;
  const byFilter = single && row < Conv.k;
  const byRow = single && !byFilter;
  const from = byRow ? Part.from(row, 2) : 0;
  const to = byRow ? Part.to(row, 2) : row;
  const start = byFilter ? Part.from(Conv.k, 4) : 0;
  const end = byFilter ? Part.to(Conv.k, 4) : Conv.kg;
  const first = single ? 0 : Part.from(Conv.groups, 1);
  const last = single ? 1 : Part.to(Conv.groups, 1);
  for (let group = first; group < last; group++) {
    Share.group = group * Conv.cg;
    for (let f = start; f < end; f += Block.outs) {
      Share.f = group * Conv.kg + f;
      Share.outs = min(Block.outs, end - f);
      for (let e = from / taps; e * taps < to; e += Block.channels) {
        Share.channel = e;
        Share.from = max(from, e * taps);
        Share.to = min(to, (e + Block.channels) * taps);
        share(gw, x, g);
      }
    }
  }
}

/** The share's sums over all positions, block by block. */
function share(gw: usize, x: usize, g: usize): void {
  memory.fill(Share.sums(), 0, usize(Share.rows() * Share.outs) << 4);
  Copies.cut(Block.rows, Block.cols);
  if (!Block.direct) memory.fill(Share.copies(), 0, usize(Block.images * Block.channels) * Copies.channel);
  for (let q = 0; q < Conv.n; q += Block.images)
    for (let i = 0; i < Block.oh; i += Block.rows)
      for (let j = 0; j < Block.ow; j += Block.cols) block(x, g, q, i, j);
  let from = Share.sums();
  for (let r = Share.from; r < Share.to; r++)
    for (let f = 0; f < Share.outs; f++, from += 16)
      f32.store(
        gw + (usize((Share.f + f) * Conv.cg * Conv.r * Conv.s + r) << 2),
        f32(Lanes.sum64(v128.load(from))),
      );
}

/** The block that begins at position (i, j) of image q. */
function block(x: usize, g: usize, q: i32, i: i32, j: i32): void {
  const images = min(Block.images, Conv.n - q);
  Copies.cut(min(Block.rows, Block.oh - i), min(Block.cols, Block.ow - j));
  Dots.over(images, Copies.rows * Copies.cols);
  let from = x + usize(q * Conv.c + Share.group + Share.channel) * Conv.inPlane();
  let step = usize(Conv.c) * Conv.inPlane();
  if (Block.direct) from += usize(j) << 2;
  else {
    step = copy(from, images, i, j);
    from = Share.copies();
  }
  const taps = Conv.r * Conv.s;
  let at = Share.rowList();
  for (let r = Share.from; r < Share.to; r++, at += 4) {
    const e = usize(r / taps - Share.channel);
    const t = r % taps;
    const row = Block.direct ? e * Conv.inPlane() : e * Copies.channel + Copies.tap(t / Conv.s, t % Conv.s);
    store<usize>(at, from + row);
  }
  close(at);
  const first = g + usize(q * Conv.k + Share.f) * Conv.outPlane() + (usize(i * Block.ow + j) << 2);
  for (let f = 0; f < Share.outs; f++)
    store<usize>(Share.list() + (usize(f) << 2), first + usize(f) * Conv.outPlane());
  close(Share.list() + (usize(Share.outs) << 2));
  tiles(step, usize(Conv.k) * Conv.outPlane());
}

function close(list: usize): void {
  for (let k: usize = 0; k < 32; k += 4) store<usize>(list + k, load<usize>(list - 4));
}

/** Copies what the share's rows see of the block, and returns how far an image lies from the next. */
function copy(x: usize, images: i32, i: i32, j: i32): usize {
  const taps = Conv.r * Conv.s;
  const channels = (Share.to + taps - 1) / taps - Share.channel;
  const step = usize(channels) * Copies.channel;
  if (Block.partial()) memory.fill(Share.copies(), 0, step);
  for (let q: usize = 0; q < usize(images); q++)
    Copies.fill(Share.copies() + q * step, x + q * usize(Conv.c) * Conv.inPlane(), channels, i, j);
  return step;
}

/** All sums of the block: tiles of two by four, the gradients of four outputs in L1; and what is left at the edges. */
function tiles(xStep: usize, gStep: usize): void {
  const rows = Share.rows();
  const outs = Share.outs;
  const line = usize(outs) << 4;
  const x = Share.rowList();
  let j = 0;
  for (; j + 4 <= outs; j += 4) {
    const g = Share.list() + (usize(j) << 2);
    let c = Share.sums() + (usize(j) << 4);
    for (let i = 0; i + 2 <= rows; i += 2, c += 2 * line)
      Dots.two(c, line, 16, x + (usize(i) << 2), xStep, g, gStep, 4);
  }
  if (rows & 1) {
    const last = usize(rows - 1);
    for (let f = 0; f < j; f += 8) {
      const c = Share.sums() + last * line + (usize(f) << 4);
      Dots.one(c, 16, x + (last << 2), xStep, Share.list() + (usize(f) << 2), gStep, j - f);
    }
  }
  if (outs & 2) {
    const c = Share.sums() + (usize(j) << 4);
    const g = Share.list() + (usize(j) << 2);
    for (let i = 0; i < rows; i += 4)
      Dots.two(c + usize(i) * line, 16, line, g, gStep, x + (usize(i) << 2), xStep, rows - i);
    j += 2;
  }
  if (outs & 1) {
    const c = Share.sums() + (usize(j) << 4);
    const g = Share.list() + (usize(j) << 2);
    for (let i = 0; i < rows; i += 8)
      Dots.one(c + usize(i) * line, line, g, gStep, x + (usize(i) << 2), xStep, rows - i);
  }
}
