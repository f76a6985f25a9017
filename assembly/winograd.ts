// Convolutions of 3 × 3 windows in steps of 1 by Winograd's F(2 × 2, 3 × 3): sixteen products of transformed tiles with 16
// multiplications for each 36 of the sum. A block of transformed tiles stays in L2 while all outputs go by, some at a time,
// whose sums for sixteen tiles stay in L1 until they are transformed back.
import { Few } from './convFew';
import { Conv } from './geometry';
import { Epilogue, RELU } from './epilogue';
import { Scratch } from './scratch';
import { DEPTH, PANEL, Tile } from './tile';
import { Inputs, MOST_TILES, Outputs, SLACK, Tiles, Weights } from './tiles';

/** Bytes of a block's transformed inputs: half of a small L2. */
const BLOCK: usize = 1 << 19;
/** Outputs whose sums for sixteen tiles, 24 KiB, stay in L1; a multiple of both register tiles' heights. */
const BAND: i32 = 24;
/** Bytes between two matrices beyond their size, so that the sixteen do not meet in one set of L1. */
export const APART: usize = 64;

/** Channels of which a block of sixteen tiles still has room. */
export const MOST_INPUTS: i32 = 640;

/** One convolution as the algorithm sees it: a gradient by the input is one too, of what it is given. */
class Side {
  /** Channels of a group that are summed over. */
  static ins: i32 = 0;
  /** Bytes from one image to the next, of what windows see and of what is written. */
  static from: usize = 0;
  static to: usize = 0;
  /** Bytes from one output's weights to the next, from one input's, and from tap to tap. */
  static out: usize = 0;
  static inn: usize = 0;
  static tap: usize = 0;
  /** Tiles of a block. */
  static block: i32 = 0;

  /** Matrices of inputs and their rows, in bytes. */
  @inline static row(): usize {
    return usize(Side.block + SLACK) << 2;
  }
  @inline static inputStep(): usize {
    return usize(Side.ins) * Side.row() + APART;
  }
  @inline static weightStep(outs: i32): usize {
    return ((usize((outs + 1) >> 1) * usize(Side.ins)) << 3) + APART;
  }
  @inline static inPlane(): usize {
    return usize(Tiles.h * Tiles.w) << 2;
  }
  @inline static outPlane(): usize {
    return usize(Tiles.oh * Tiles.ow) << 2;
  }
}

/** Where things lie. The transforms' own stage is between the first two. */
export class Place {
  @inline static sums(): usize {
    return Scratch.b();
  }
  @inline static inputs(): usize {
    return Scratch.b() + (1 << 17);
  }
  @inline static weights(): usize {
    return Scratch.a() + (1 << 19);
  }
  /** What is left for weights. */
  @inline static room(): usize {
    return Scratch.tile() - Place.weights() - 32 * APART;
  }
}

/**
 * Costs of all ways in multiply-adds of vectors, what is not a product by the time it takes. Tiles are counted for an image
 * alone, whatever the batch: a choice by the whole batch would give an image other bits in another one.
 */
class Cost {
  /** A vector of the register tile's outputs, and one of columns(x). */
  static START: f64 = 6;
  static COLUMNS: f64 = 4;
  /** A vector of products along positions, and what copying takes of a row of columns(x). */
  static DOT: f64 = 1.05;
  static COPY: f64 = 1;
  /** A term where panels are not packed. */
  static FEW: f64 = 1.1;
  /** A vector of tiles: what windows see, for each channel and to begin with, outputs, and gradients of outputs. */
  static INPUTS: f64 = 70;
  static ROWS: f64 = 200;
  static OUTPUTS: f64 = 40;
  static GRADIENTS: f64 = 35;
  /** One window, as if two images shared it. */
  static WEIGHTS: f64 = 10;

  /** Vectors of tiles of an image of h × w. */
  @inline static tiles(h: i32, w: i32): f64 {
    return f64(((h + 1) >> 1) * ((w + 1) >> 1)) / 4;
  }
  @inline static even(n: i32): f64 {
    return f64((n + 1) & ~1);
  }
}

/** Whether this costs less than the direct way, for windows over `ins` channels that give `outs` of h × w. */
export function suitsWinograd(ins: i32, outs: i32, h: i32, w: i32): bool {
  if (!Conv.plain3() || Conv.oh <= 0 || Conv.ow <= 0 || ins > MOST_INPUTS) return false;
  const from = f64(ins);
  const to = Cost.even(outs);
  const vectors = f64((h * w + PANEL - 1) / PANEL) * 4;
  const terms = 9 * from;
  const packed = vectors * (to * (terms + Cost.START) + terms * Cost.COLUMNS);
  const direct = Few.fits() ? vectors * f64(outs) * (terms * Cost.FEW + Cost.START) : packed;
  const products = 16 * to * (from + Cost.START);
  const tiles = Cost.tiles(h, w) * (products + from * Cost.INPUTS + to * Cost.OUTPUTS);
  return tiles + from * to * Cost.WEIGHTS < direct;
}

/** The same for the gradient by the weight. */
export function suitsWinogradWeight(): bool {
  if (!Conv.plain3() || Conv.cg > MOST_INPUTS) return false;
  const ins = f64(Conv.cg);
  const outs = f64((Conv.kg + PANEL - 1) & ~(PANEL - 1));
  const vectors = f64(Conv.oh * Conv.ow) / 4;
  const direct = vectors * 9 * ins * (f64(Conv.kg) * Cost.DOT + Cost.COPY);
  const products = 16 * Cost.even(Conv.cg) * outs;
  return (
    Cost.tiles(Conv.oh, Conv.ow) * (products + Cost.ROWS + ins * Cost.INPUTS + outs * Cost.GRADIENTS) < direct
  );
}

/** y = act(x * w + bias + residual) for the outputs `first` to `last` of each group. */
export function winograd(
  y: usize,
  x: usize,
  wt: usize,
  bias: usize,
  away: usize,
  first: i32,
  last: i32,
  act: i32,
): void {
  Tiles.over(Conv.h, Conv.w, Conv.ph, Conv.pw, Conv.oh, Conv.ow);
  Side.ins = Conv.cg;
  Side.from = usize(Conv.c) * Side.inPlane();
  Side.to = usize(Conv.k) * Side.outPlane();
  Side.out = usize(Conv.cg * 9) << 2;
  Side.inn = 36;
  Side.tap = 4;
  for (let g = Conv.from; g < Conv.to; g++) {
    const f = g * Conv.kg;
    const from = x + usize(g * Conv.cg) * Side.inPlane();
    const to = y + usize(f) * Side.outPlane();
    group(to, from, wt + usize(f) * Side.out, bias ? bias + (usize(f) << 2) : 0, away, first, last, act);
  }
}

/** gx = the convolution of g with the windows turned round, outputs and inputs exchanged. */
export function winogradInput(gx: usize, g: usize, wt: usize): void {
  Tiles.over(Conv.oh, Conv.ow, 2 - Conv.ph, 2 - Conv.pw, Conv.h, Conv.w);
  Side.ins = Conv.kg;
  Side.from = usize(Conv.k) * Side.inPlane();
  Side.to = usize(Conv.c) * Side.outPlane();
  Side.out = 36;
  Side.inn = usize(Conv.cg * 9) << 2;
  Side.tap = -4;
  for (let q = Conv.from; q < Conv.to; q++) {
    const f = q * Conv.kg;
    const from = g + usize(f) * Side.inPlane();
    const to = gx + usize(q * Conv.cg) * Side.outPlane();
    group(to, from, wt + usize(f) * Side.inn + 32, 0, 0, 0, Conv.cg, 0);
  }
}

/** One group, as many outputs at a time as there is room for their weights. */
function group(
  y: usize,
  x: usize,
  wt: usize,
  bias: usize,
  away: usize,
  first: i32,
  last: i32,
  act: i32,
): void {
  const most = i32(BLOCK / (usize(Side.ins) << 6)) - SLACK;
  Side.block = max(PANEL, min(MOST_TILES, most - (most % PANEL)));
  const outs = i32(Place.room() / (usize(Side.ins) << 6)) & ~1;
  const tiles = Conv.n * Tiles.each();
  const lowest: f32 = act == RELU ? 0 : -Infinity;
  for (let f = first; f < last; f += outs) {
    const some = min(outs, last - f);
    const step = Side.weightStep(some);
    Weights.transform(
      Place.weights(),
      step,
      wt + usize(f) * Side.out,
      some,
      Side.ins,
      Side.out,
      Side.inn,
      Side.tap,
    );
    const to = y + usize(f) * Side.outPlane();
    for (let p = 0; p < tiles; p += Side.block) {
      const end = min(tiles, p + Side.block);
      inputs(x, p, end);
      for (let b = 0; b < some; b += BAND) {
        const at = to + usize(b) * Side.outPlane();
        const from = bias ? bias + (usize(f + b) << 2) : 0;
        band(
          at,
          Place.weights() + usize(b) * usize(Side.ins << 2),
          step,
          min(BAND, some - b),
          p,
          end,
          from,
          away,
          lowest,
        );
      }
    }
    if (act > RELU)
      for (let q = 0; q < Conv.n; q++)
        Epilogue.finish(to + usize(q) * Side.to, 0, 1, some * Tiles.oh * Tiles.ow, 0, 0, act);
  }
}

/** Transforms what the tiles p to `end` see. */
function inputs(x: usize, p: i32, end: i32): void {
  let to = Place.inputs();
  while (p < end) {
    const count = Tiles.run(p, end);
    Inputs.transform(to, Side.inputStep(), Side.row(), x + usize(Tiles.image) * Side.from, Side.ins);
    to += usize(count) << 2;
    p += count;
  }
}

/** The tiles p to `end` of `outs` outputs. */
function band(
  y: usize,
  u: usize,
  step: usize,
  outs: i32,
  p: i32,
  end: i32,
  bias: usize,
  away: usize,
  lowest: f32,
): void {
  const pair = usize(Side.ins) << 3;
  const rows = usize(outs) << 6;
  for (let v = Place.inputs(); p < end; v += PANEL << 2) {
    const last = min(end, p + PANEL);
    for (let i: usize = 0; i < 16; i++)
      for (let e = 0; e < Side.ins; e += DEPTH) {
        const a = u + i * step + (usize(e) << 3);
        const b = v + i * Side.inputStep() + usize(e) * Side.row();
        const k = min(DEPTH, Side.ins - e);
        const c = Place.sums() + i * rows;
        // A few tiles of a small image go by fours. Rows that are too many fall on the next matrix, which comes after.
        if (last - p > PANEL / 2)
          Tile.column(c, 64, PANEL, a, 4, pair, 8, b, Side.row(), outs, k, 0, 0, e > 0, -Infinity);
        else
          for (let j: usize = 0; j < usize(last - p) << 2; j += 16)
            Tile.narrow(c + j, 64, a, pair, b + j, Side.row(), outs, k, e > 0);
      }
    let m = Place.sums();
    while (p < last) {
      const count = Tiles.run(p, last);
      Outputs.transform(y + usize(Tiles.image) * Side.to, Side.outPlane(), m, rows, outs, bias, away, lowest);
      m += usize(count) << 2;
      p += count;
    }
  }
}
