// Convolutions as implicit matrix products: panels are packed from the image and go through the same register tile as any
// product. conv2d is W · columns(x), with the columns made where they are used; its gradients are in their own files, and so
// is Winograd's algorithm, which takes 3 × 3 windows where it costs less.
import { Few, few } from './convFew';
import { gradInput } from './convInput';
import { gradWeight } from './convWeight';
import { depthwise, isDepthwise } from './depthwise';
import { Epilogue, RELU } from './epilogue';
import { Conv } from './geometry';
import { Part } from './part';
import { FORWARD, plain } from './plain';
import { Scratch } from './scratch';
import { DEPTH, PANEL, Tile } from './tile';
import { MOST_TAPS, Window } from './window';
import { suitsWinograd, winograd } from './winograd';

/** More outputs than this would not fit their table. */
const MOST_BIASES: i32 = 8192;

/** A single image is shared by groups, or by outputs if there is one group: so many fill a register tile of either height. */
const PART: i32 = 12;
class Outputs {
  @inline static from(): i32 {
    return Conv.groups > 1 ? 0 : Part.from(Conv.kg, PART);
  }
  @inline static to(): i32 {
    return Conv.groups > 1 ? Conv.kg : Part.to(Conv.kg, PART);
  }
}

/** Sixteen copies of each bias, a row for the tile to start from. */
class Bias {
  @inline static rows(): usize {
    return Scratch.tables() + (1 << 18);
  }
  static spread(bias: usize, k: i32): void {
    for (let f: usize = 0; f < usize(k); f++) {
      const b = v128.load32_splat(bias + (f << 2));
      for (let j: usize = 0; j < 64; j += 16) v128.store(Bias.rows() + (f << 6) + j, b);
    }
  }
  /** y = bias, or 0, for the planes `first` to `last`. */
  static fill(y: usize, bias: usize, first: i32, last: i32): void {
    const plane = Conv.outPlane();
    y += usize(first) * plane;
    for (let q = first; q < last; q++)
      for (const end = y + plane; y < end; y += 4)
        f32.store(y, bias ? f32.load(bias + (usize(q % Conv.k) << 2)) : 0);
  }
}

export function conv2d(
  y: usize,
  x: usize,
  wt: usize,
  bias: usize,
  residual: usize,
  n: i32,
  c: i32,
  h: i32,
  w: i32,
  k: i32,
  r: i32,
  s: i32,
  sh: i32,
  sw: i32,
  ph: i32,
  pw: i32,
  dh: i32,
  dw: i32,
  groups: i32,
  act: i32,
): void {
  Conv.over(n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups);
  const size = Conv.oh * Conv.ow;
  if (n * k * size <= 0) return;
  Conv.share();
  const away = residual ? residual - y : 0;
  if (isDepthwise()) {
    if (Outputs.from() < Outputs.to()) depthwise(y, x, wt, bias, away, act);
    return;
  }
  if (r * s <= MOST_TAPS) Few.forward();
  if (suitsWinograd(Conv.cg, Conv.kg, Conv.oh, Conv.ow)) {
    winograd(y, x, wt, bias, away, Outputs.from(), Outputs.to(), act);
  } else if (r * s > MOST_TAPS || (bias && k > MOST_BIASES)) {
    const first = Part.from(n * k, 1);
    const last = Part.to(n * k, 1);
    Bias.fill(y, bias, first, last);
    plain(FORWARD, x, wt, y);
    Epilogue.finish(y + usize(first) * Conv.outPlane(), 0, 1, (last - first) * size, 0, away, act);
  } else if (Few.fits()) {
    few(y, x, wt, bias, away, Outputs.from(), Outputs.to(), act);
  } else packed(y, x, wt, bias, away, act);
}

/** The product with columns(x), panel by panel. */
function packed(y: usize, x: usize, wt: usize, bias: usize, away: usize, act: i32): void {
  const first = Outputs.from();
  const last = Outputs.to();
  if (first == last || Conv.from == Conv.to) return;
  Window.ofInput();
  if (bias) Bias.spread(bias, Conv.k);
  const size = Conv.oh * Conv.ow;
  const own = away ? 0 : act;
  for (let q = 0; q < Conv.n; q++) {
    for (let p = 0; p < size; p += PANEL) {
      Window.aim(p, min(PANEL, size - p));
      for (let g = Conv.from; g < Conv.to; g++) panel(y, x, wt, bias, q, g, p, first, last, own);
    }
    // Not panel by panel, whose rows lie a plane apart: that took up to a fifth longer than an addition afterwards.
    const at = y + usize(q * Conv.k + Conv.from * Conv.kg + first) * Conv.outPlane();
    const outputs = (Conv.to - Conv.from) * (last - first);
    if (away) Epilogue.finish(at, 0, 1, outputs * size, 0, away, act);
  }
}

/** A group's outputs `first` to `last` at sixteen positions of image q, the channels in blocks that fit the panel. */
function panel(
  y: usize,
  x: usize,
  wt: usize,
  bias: usize,
  q: i32,
  g: i32,
  p: i32,
  first: i32,
  last: i32,
  act: i32,
): void {
  const taps = Window.taps;
  const planes = max(1, DEPTH / taps);
  const ldc = Conv.outPlane();
  const row = usize(Conv.cg * taps) << 2;
  const to = y + usize(q * Conv.k + g * Conv.kg + first) * ldc + (usize(p) << 2);
  const from = x + usize(q * Conv.c + g * Conv.cg) * Conv.inPlane();
  const a = wt + usize(g * Conv.kg + first) * row;
  const cols = min(PANEL, Conv.oh * Conv.ow - p);
  let start = bias ? Bias.rows() + (usize(g * Conv.kg + first) << 6) : 0;
  for (let e = 0; e < Conv.cg; e += planes) {
    const some = min(planes, Conv.cg - e);
    Window.pack(Scratch.b(), from + usize(e) * Conv.inPlane(), Conv.inPlane(), some);
    const left = a + (usize(e * taps) << 2);
    const step: usize = start ? 64 : 0;
    const lowest: f32 = act == RELU && e + some == Conv.cg ? 0 : -Infinity;
    Tile.column(
      to,
      ldc,
      cols,
      left,
      row,
      2 * row,
      4,
      Scratch.b(),
      64,
      last - first,
      some * taps,
      start,
      step,
      e > 0,
      lowest,
    );
    start = 0;
  }
  if (act > RELU) Epilogue.finish(to, ldc, last - first, cols, 0, 0, act);
}

export function conv2dGradInput(
  gx: usize,
  g: usize,
  wt: usize,
  n: i32,
  c: i32,
  h: i32,
  w: i32,
  k: i32,
  r: i32,
  s: i32,
  sh: i32,
  sw: i32,
  ph: i32,
  pw: i32,
  dh: i32,
  dw: i32,
  groups: i32,
): void {
  Conv.over(n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups);
  Conv.share();
  gradInput(gx, g, wt);
}

export function conv2dGradWeight(
  gw: usize,
  x: usize,
  g: usize,
  n: i32,
  c: i32,
  h: i32,
  w: i32,
  k: i32,
  r: i32,
  s: i32,
  sh: i32,
  sw: i32,
  ph: i32,
  pw: i32,
  dh: i32,
  dw: i32,
  groups: i32,
): void {
  Conv.over(n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups);
  gradWeight(gw, x, g);
}

export { avgPool2d, avgPool2dGrad, maxPool2d, maxPool2dGrad } from './pool';
