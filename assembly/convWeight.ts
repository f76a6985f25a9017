// The gradient of a convolution by its weight: columns(x) · g', stored transposed. Positions are counted through all
// images, so that blocks stay deep when images are small.
import { Conv } from './geometry';
import { Pack } from './pack';
import { Part } from './part';
import { plain, WEIGHT } from './plain';
import { Scratch } from './scratch';
import { DEPTH, PANEL, Tile, WIDTH } from './tile';
import { MOST_TAPS, Window } from './window';
import { suitsWinogradWeight } from './winograd';
import { winogradWeight } from './winogradWeight';

/** Rows of columns(x) packed at once, 256 KiB. */
const ROWS: i32 = 256;
/** Parts are whole tiles, of two rows or six. */
const STRIP: i32 = 12;

export function gradWeight(gw: usize, x: usize, g: usize): void {
  const size = Conv.oh * Conv.ow;
  const row = Conv.cg * Conv.r * Conv.s;
  if (Conv.n * size <= 0 || Conv.thin() || Conv.r * Conv.s > MOST_TAPS) {
    // Parts are filters here, and below groups, or rows of columns(x) when there is only one group.
    const first = Part.from(Conv.k, 1);
    memory.fill(gw + (usize(first * row) << 2), 0, usize((Part.to(Conv.k, 1) - first) * row) << 2);
    if (Conv.n * size > 0) plain(WEIGHT, x, gw, g);
    return;
  }
  if (suitsWinogradWeight()) {
    winogradWeight(gw, x, g);
    return;
  }
  Window.ofInput();
  for (let j = 0; j < PANEL; j++) store<i32>(Scratch.offsets() + (usize(j) << 2), (j * row) << 2);
  const single = Conv.groups == 1;
  const first = single ? 0 : Part.from(Conv.groups, 1);
  const last = single ? 1 : Part.to(Conv.groups, 1);
  // Parts are filters where columns(x) is what costs less to pack in every part, else rows of it.
  const byFilter = single && row < Conv.k;
  const byRow = single && !byFilter;
  const from = byRow ? Part.from(row, STRIP) : 0;
  const to = byRow ? Part.to(row, STRIP) : row;
  const start = byFilter ? Part.from(Conv.k, PANEL) : 0;
  const end = byFilter ? Part.to(Conv.k, PANEL) : Conv.kg;
  for (let group = first; group < last; group++)
    for (let p = 0; p < Conv.n * size; p += DEPTH)
      for (let f = start; f < end; f += WIDTH) block(gw, x, g, group, p, f, min(WIDTH, end - f), from, to);
}

/** What the positions from p on give to `width` outputs of a group, from the f-th on, in rows `from` to `to`. */
function block(
  gw: usize,
  x: usize,
  g: usize,
  group: i32,
  p: i32,
  f: i32,
  width: i32,
  from: i32,
  to: i32,
): void {
  const depth = min(DEPTH, Conv.n * Conv.oh * Conv.ow - p);
  const output = group * Conv.kg + f;
  const rows = Conv.cg * Window.taps;
  const line = usize(depth) << 2;
  packOutputs(g, output, width, p, depth);
  for (let i = from; i < to; i += ROWS) {
    const height = min(ROWS, to - i);
    packColumns(x, group * Conv.cg, i, height, p, depth);
    for (let j = 0; j < width; j += PANEL) {
      const at = gw + (usize((output + j) * rows + i) << 2);
      const b = Scratch.gradients() + usize(j) * line;
      const cols = min(PANEL, width - j);
      Tile.scatter(at, 4, cols, Scratch.offsets(), Scratch.a(), line, 2 * line, 4, b, height, depth, p > 0);
    }
  }
}

/** Panels of g': positions by 16 outputs. */
function packOutputs(g: usize, f: i32, width: i32, p: i32, depth: i32): void {
  const size = Conv.oh * Conv.ow;
  let to = Scratch.gradients();
  for (let j = 0; j < width; j += PANEL)
    for (let at = p; at < p + depth;) {
      const count = min(p + depth - at, size - (at % size));
      const from = g + (usize(((at / size) * Conv.k + f + j) * size + (at % size)) << 2);
      Pack.columns(to, from, Conv.outPlane(), count, min(PANEL, width - j), 1);
      to += usize(count) << 6;
      at += count;
    }
}

/** Rows of columns(x), (channel, tap) from the i-th on, over `depth` positions. */
function packColumns(x: usize, channel: i32, i: i32, height: i32, p: i32, depth: i32): void {
  const size = Conv.oh * Conv.ow;
  const end = x + usize(Conv.n * Conv.c) * Conv.inPlane();
  let to = Scratch.a();
  for (const last = i + height; i < last; i++) {
    const t = i % Window.taps;
    const e = channel + i / Window.taps;
    for (let at = p; at < p + depth;) {
      const count = min(p + depth - at, size - (at % size));
      const plane = x + usize((at / size) * Conv.c + e) * Conv.inPlane();
      Window.run(to, plane, end, t, at % size, count);
      to += usize(count) << 2;
      at += count;
    }
  }
}
