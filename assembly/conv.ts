// Convolutions as implicit matrix products: panels are packed from the image and go through the same register tile as any
// product. conv2d is W · columns(x); its gradients are W' · columns(g), one product for each phase of the stride, and
// columns(x) · g', with the columns made where they are used.
import { Pack } from './pack';
import { FORWARD, INPUT, plain, WEIGHT } from './plain';
import { CAPACITY, Scratch } from './scratch';
import { DEPTH, HEIGHT, PANEL, Tile, WIDTH } from './tile';
import { MOST_TAPS, Window } from './window';

/** Sixteen copies of each bias, a row for the tile to start from. */
class Bias {
  @inline static rows(): usize {
    return Scratch.tables() + (1 << 18);
  }
}
const MOST_BIASES: i32 = 8192;

/** Depthwise, or nearly: a packed row would serve too few outputs. */
function thin(cg: i32, kg: i32): bool {
  return cg == 1 && kg < 4;
}

function output(size: i32, kernel: i32, stride: i32, pad: i32, dilation: i32): i32 {
  return (size + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
}

export function conv2d(
  y: usize,
  x: usize,
  wt: usize,
  bias: usize,
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
  const oh = output(h, r, sh, ph, dh);
  const ow = output(w, s, sw, pw, dw);
  const size = oh * ow;
  if (n * k * size <= 0) return;
  const cg = c / groups;
  const kg = k / groups;
  const taps = r * s;
  if (thin(cg, kg) || taps > MOST_TAPS || (bias && k > MOST_BIASES)) {
    for (let q = 0; q < n * k; q++)
      for (let i = 0; i < size; i++)
        f32.store(y + (usize(q * size + i) << 2), bias ? f32.load(bias + (usize(q % k) << 2)) : 0);
    plain(FORWARD, x, wt, y, n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups);
    return;
  }
  Window.over(h, w, sh, sw, ow);
  for (let u = 0; u < r; u++) for (let v = 0; v < s; v++) Window.tap(u * dh - ph, v * dw - pw);
  if (bias) spreadBias(bias, k);
  const plane = usize(h * w) << 2;
  const row = usize(cg * taps) << 2;
  const planes = max(1, DEPTH / taps);
  for (let q = 0; q < n; q++)
    for (let p = 0; p < size; p += PANEL) {
      const cols = min(PANEL, size - p);
      Window.aim(p, cols);
      for (let g = 0; g < groups; g++) {
        const to = y + (usize((q * k + g * kg) * size + p) << 2);
        const from = bias ? Bias.rows() + (usize(g * kg) << 6) : 0;
        for (let e = 0; e < cg; e += planes) {
          const some = min(planes, cg - e);
          Window.pack(Scratch.b(), x + usize(q * c + g * cg + e) * plane, plane, some);
          const a = wt + usize(g * kg) * row + (usize(e * taps) << 2);
          Tile.column(
            to,
            usize(size) << 2,
            cols,
            a,
            row,
            2 * row,
            4,
            Scratch.b(),
            64,
            kg,
            some * taps,
            e == 0 ? from : 0,
            e == 0 && bias ? 64 : 0,
            e > 0,
            -Infinity,
          );
        }
      }
    }
}

function spreadBias(bias: usize, k: i32): void {
  for (let f: usize = 0; f < usize(k); f++) {
    const b = v128.load32_splat(bias + (f << 2));
    for (let j: usize = 0; j < 64; j += 16) v128.store(Bias.rows() + (f << 6) + j, b);
  }
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
  const cg = c / groups;
  const unpacked = thin(cg, k / groups) || r * s > MOST_TAPS || usize(cg * r * s) << 2 > CAPACITY;
  // A phase without taps gets nothing, so strided outputs start from zero.
  if (unpacked || sh > 1 || sw > 1 || k == 0) memory.fill(gx, 0, usize(n * c * h * w) << 2);
  if (unpacked) plain(INPUT, gx, wt, g, n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups);
  else
    for (let a = 0; a < sh; a++)
      for (let b = 0; b < sw; b++)
        gradPhase(gx, g, wt, a, b, n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups);
}

/**
 * The pixels (y, x) with (y + ph) mod sh = a and (x + pw) mod sw = b: only the taps with r dh mod sh = a reach them, and
 * for those alone the transposed convolution has stride 1.
 */
function gradPhase(
  gx: usize,
  g: usize,
  wt: usize,
  a: i32,
  b: i32,
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
  const y0 = (((a - ph) % sh) + sh) % sh;
  const x0 = (((b - pw) % sw) + sw) % sw;
  if (y0 >= h || x0 >= w) return;
  const rows = (h - 1 - y0) / sh + 1;
  const row = (w - 1 - x0) / sw + 1;
  const oh = output(h, r, sh, ph, dh);
  const ow = output(w, s, sw, pw, dw);
  Window.over(oh, ow, 1, 1, row);
  for (let u = 0; u < r; u++)
    for (let v = 0; v < s; v++)
      if ((u * dh) % sh == a && (v * dw) % sw == b)
        Window.tap((y0 + ph - u * dh) / sh, (x0 + pw - v * dw) / sw);
  const taps = Window.taps;
  if (taps == 0) return;
  const cg = c / groups;
  const kg = k / groups;
  // A unit is a block of W' for some of a group's outputs; as many as fit are packed before the images go by.
  const planes = max(1, min(kg, min(DEPTH / taps, i32(CAPACITY >> 2) / (cg * taps))));
  const blocks = (kg + planes - 1) / planes;
  const unit = usize(cg * planes * taps) << 2;
  const most = i32(CAPACITY / unit);
  for (let first = 0; first < groups * blocks; first += most) {
    const last = min(groups * blocks, first + most);
    for (let z = first; z < last; z++)
      packWeights(
        Scratch.a() + usize(z - first) * unit,
        wt,
        z / blocks,
        (z % blocks) * planes,
        planes,
        a,
        b,
        cg,
        kg,
        r,
        s,
        sh,
        sw,
        dh,
        dw,
      );
    for (let q = 0; q < n; q++)
      for (let p = 0; p < rows * row; p += PANEL) {
        const cols = min(PANEL, rows * row - p);
        Window.aim(p, cols);
        const to = gx + (usize(q * c * h * w) << 2);
        if (sh > 1 || sw > 1) spreadOutputs(p, cols, row, y0, x0, sh, sw, w);
        for (let z = first; z < last; z++) {
          const f = (z / blocks) * kg + (z % blocks) * planes;
          const some = min(planes, kg - (z % blocks) * planes);
          const size = usize(oh * ow) << 2;
          Window.pack(Scratch.b(), g + usize(q * k + f) * size, size, some);
          const depth = some * taps;
          const left = Scratch.a() + usize(z - first) * unit;
          const line = usize(depth) << 2;
          const group = to + (usize((z / blocks) * cg * h * w) << 2);
          const ldc = usize(h * w) << 2;
          if (sh > 1 || sw > 1)
            Tile.scatter(
              group,
              ldc,
              cols,
              Scratch.offsets(),
              left,
              line,
              2 * line,
              4,
              Scratch.b(),
              cg,
              depth,
              true,
            );
          else
            Tile.column(
              group + (usize(p) << 2),
              ldc,
              cols,
              left,
              line,
              2 * line,
              4,
              Scratch.b(),
              64,
              cg,
              depth,
              0,
              0,
              z % blocks > 0,
              -Infinity,
            );
        }
      }
  }
}

/** W' of one group: row c holds, for `planes` outputs from f on, the taps of the phase. */
function packWeights(
  to: usize,
  wt: usize,
  group: i32,
  f: i32,
  planes: i32,
  a: i32,
  b: i32,
  cg: i32,
  kg: i32,
  r: i32,
  s: i32,
  sh: i32,
  sw: i32,
  dh: i32,
  dw: i32,
): void {
  const end = min(kg, f + planes);
  for (let e = 0; e < cg; e++)
    for (let z = f; z < end; z++) {
      const from = wt + (usize(((group * kg + z) * cg + e) * r * s) << 2);
      for (let u = 0; u < r; u++) {
        if ((u * dh) % sh != a) continue;
        for (let v = 0; v < s; v++) {
          if ((v * dw) % sw != b) continue;
          f32.store(to, f32.load(from + (usize(u * s + v) << 2)));
          to += 4;
        }
      }
    }
}

function spreadOutputs(p: i32, cols: i32, row: i32, y0: i32, x0: i32, sh: i32, sw: i32, w: i32): void {
  for (let j = 0; j < cols; j++) {
    const at = (y0 + ((p + j) / row) * sh) * w + x0 + ((p + j) % row) * sw;
    store<i32>(Scratch.offsets() + (usize(j) << 2), at << 2);
  }
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
  const size = output(h, r, sh, ph, dh) * output(w, s, sw, pw, dw);
  const cg = c / groups;
  const kg = k / groups;
  const line = cg * r * s;
  if (n * size <= 0 || thin(cg, kg) || r * s > MOST_TAPS) {
    memory.fill(gw, 0, usize(k * line) << 2);
    if (n * size > 0) plain(WEIGHT, x, gw, g, n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups);
    return;
  }
  Window.over(h, w, sh, sw, output(w, s, sw, pw, dw));
  for (let u = 0; u < r; u++) for (let v = 0; v < s; v++) Window.tap(u * dh - ph, v * dw - pw);
  for (let j = 0; j < PANEL; j++) store<i32>(Scratch.offsets() + (usize(j) << 2), (j * line) << 2);
  const end = x + (usize(n * c * h * w) << 2);
  // Positions are counted through all images, so that blocks stay deep when images are small.
  for (let group = 0; group < groups; group++)
    for (let p = 0; p < n * size; p += DEPTH) {
      const depth = min(DEPTH, n * size - p);
      for (let f = 0; f < kg; f += WIDTH) {
        const width = min(WIDTH, kg - f);
        packOutputs(g, group * kg + f, width, p, depth, size, k);
        for (let i = 0; i < line; i += HEIGHT) {
          const height = min(HEIGHT, line - i);
          packColumns(x, end, group * cg, i, height, p, depth, size, c);
          for (let j = 0; j < width; j += PANEL) {
            const to = gw + (usize((group * kg + f + j) * line + i) << 2);
            const b = Scratch.gradients() + ((usize(j) * usize(depth)) << 2);
            const row = usize(depth) << 2;
            Tile.scatter(
              to,
              4,
              min(PANEL, width - j),
              Scratch.offsets(),
              Scratch.a(),
              row,
              2 * row,
              4,
              b,
              height,
              depth,
              p > 0,
            );
          }
        }
      }
    }
}

/** Panels of g': positions by 16 outputs. */
function packOutputs(g: usize, f: i32, width: i32, p: i32, depth: i32, size: i32, k: i32): void {
  let to = Scratch.gradients();
  for (let j = 0; j < width; j += PANEL)
    for (let at = p; at < p + depth;) {
      const count = min(p + depth - at, size - (at % size));
      const from = g + (usize(((at / size) * k + f + j) * size + (at % size)) << 2);
      Pack.columns(to, from, usize(size) << 2, count, min(PANEL, width - j), 1);
      to += usize(count) << 6;
      at += count;
    }
}

/** Rows of columns(x), (channel, tap) from i on, over `depth` positions. */
function packColumns(
  x: usize,
  end: usize,
  channel: i32,
  i: i32,
  height: i32,
  p: i32,
  depth: i32,
  size: i32,
  c: i32,
): void {
  const plane = usize(Window.h * Window.w) << 2;
  let to = Scratch.a();
  for (const last = i + height; i < last; i++) {
    const t = i % Window.taps;
    const e = channel + i / Window.taps;
    for (let at = p; at < p + depth;) {
      const count = min(p + depth - at, size - (at % size));
      Window.run(to, x + usize((at / size) * c + e) * plane, end, t, at % size, count);
      to += usize(count) << 2;
      at += count;
    }
  }
}

export { avgPool2d, avgPool2dGrad, maxPool2d } from './pool';
