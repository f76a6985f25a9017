// The gradient of a convolution by its input, which is also the transposed convolution: W' · columns(g), one product for
// each phase of the stride, so that no product is with a zero that the stride put there.
import { Few, few, fewApart, fitsApart } from './convFew';
import { Conv } from './geometry';
import { INPUT, plain } from './plain';
import { CAPACITY, Scratch } from './scratch';
import { DEPTH, PANEL, Tile } from './tile';
import { MOST_TAPS, Window } from './window';
import { suitsWinograd, winogradInput } from './winograd';

/**
 * The pixels (y, x) with (y + ph) mod sh = a and (x + pw) mod sw = b: only the taps with r dh mod sh = a reach them, and
 * for those alone the transposed convolution has stride 1.
 */
class Phase {
  static a: i32 = 0;
  static b: i32 = 0;
  /** The first such pixel, and how many there are each way. */
  static y: i32 = 0;
  static x: i32 = 0;
  static rows: i32 = 0;
  static cols: i32 = 0;
  /**
   * A unit is a block of W' for `planes` outputs of a group; a group has `blocks` of them, `unit` bytes each.
   */
  static planes: i32 = 0;
  static blocks: i32 = 0;
  static unit: usize = 0;

  static over(a: i32, b: i32): void {
    Phase.a = a;
    Phase.b = b;
    Phase.y = (((a - Conv.ph) % Conv.sh) + Conv.sh) % Conv.sh;
    Phase.x = (((b - Conv.pw) % Conv.sw) + Conv.sw) % Conv.sw;
    Phase.rows = Phase.y < Conv.h ? (Conv.h - 1 - Phase.y) / Conv.sh + 1 : 0;
    Phase.cols = Phase.x < Conv.w ? (Conv.w - 1 - Phase.x) / Conv.sw + 1 : 0;
    Window.over(Conv.oh, Conv.ow, 1, 1, Phase.cols);
    for (let u = 0; u < Conv.r; u++)
      for (let v = 0; v < Conv.s; v++) if (Phase.has(u, v)) Window.tap(Phase.reach(u, 0), Phase.reach(v, 1));
  }
  @inline static has(u: i32, v: i32): bool {
    return (u * Conv.dh) % Conv.sh == Phase.a && (v * Conv.dw) % Conv.sw == Phase.b;
  }
  /** Where tap u reads for the first pixel. */
  static reach(u: i32, across: i32): i32 {
    return across ? (Phase.x + Conv.pw - u * Conv.dw) / Conv.sw : (Phase.y + Conv.ph - u * Conv.dh) / Conv.sh;
  }
  /** The phase as a convolution of g for convFew.ts: its taps reach from the least to the greatest, beyond which is padding. */
  static reads(): void {
    let top = 0;
    let left = 0;
    let bottom = 0;
    let right = 0;
    for (let u = 0; u < Conv.r; u++)
      for (let v = 0; v < Conv.s; v++) {
        if (!Phase.has(u, v)) continue;
        top = min(top, Phase.reach(u, 0));
        bottom = max(bottom, Phase.reach(u, 0));
        left = min(left, Phase.reach(v, 1));
        right = max(right, Phase.reach(v, 1));
      }
    Few.over(Conv.oh, Conv.ow, 1, 1, -top, -left, Phase.rows, Phase.cols, bottom - top, right - left);
    Few.ins = Conv.kg;
    Few.outs = Conv.cg;
    Few.out = usize(Conv.r * Conv.s) << 2;
    Few.inn = usize(Conv.cg) * Few.out;
    Few.from = usize(Conv.k) * Conv.outPlane();
    Few.to = usize(Conv.c) * Conv.inPlane();
    for (let u = 0; u < Conv.r; u++)
      for (let v = 0; v < Conv.s; v++)
        if (Phase.has(u, v))
          Few.tap(Phase.reach(u, 0) - top, Phase.reach(v, 1) - left, (u * Conv.s + v) << 2);
  }
  @inline static strided(): bool {
    return Conv.sh > 1 || Conv.sw > 1;
  }
  /** Byte offsets of `cols` pixels from the p-th on. */
  static spread(p: i32, cols: i32): void {
    for (let j = 0; j < cols; j++) {
      const y = Phase.y + ((p + j) / Phase.cols) * Conv.sh;
      const x = Phase.x + ((p + j) % Phase.cols) * Conv.sw;
      store<i32>(Scratch.offsets() + (usize(j) << 2), (y * Conv.w + x) << 2);
    }
  }
  /** Packs unit z: row c holds, for each of its outputs, the taps of the phase. */
  static pack(to: usize, wt: usize, z: i32): void {
    const first = (z / Phase.blocks) * Conv.kg;
    const from = first + (z % Phase.blocks) * Phase.planes;
    const end = min(first + Conv.kg, from + Phase.planes);
    for (let e = 0; e < Conv.cg; e++)
      for (let f = from; f < end; f++) {
        const weights = wt + (usize((f * Conv.cg + e) * Conv.r * Conv.s) << 2);
        for (let u = 0; u < Conv.r; u++)
          for (let v = 0; v < Conv.s; v++) {
            if (!Phase.has(u, v)) continue;
            f32.store(to, f32.load(weights + (usize(u * Conv.s + v) << 2)));
            to += 4;
          }
      }
  }
}

export function gradInput(gx: usize, g: usize, wt: usize): void {
  const strided = Phase.strided();
  if (!strided && Conv.r * Conv.s <= MOST_TAPS) {
    Phase.over(0, 0);
    Phase.reads();
    if (suitsWinograd(Conv.kg, Conv.cg, Conv.h, Conv.w)) return winogradInput(gx, g, wt);
    if (!Conv.thin() && Few.fits()) return few(gx, g, wt, 0, 0, 0, Conv.cg, 0);
  }
  const weights = Conv.cg * Conv.r * Conv.s;
  const unpacked = Conv.thin() || Conv.r * Conv.s > MOST_TAPS || usize(weights) << 2 > CAPACITY;
  // A phase without taps gets nothing, so strided outputs start from zero.
  if (unpacked || strided || Conv.k == 0) memory.fill(gx, 0, usize(Conv.n * Conv.c) * Conv.inPlane());
  if (unpacked) plain(INPUT, gx, wt, g);
  else
    for (let a = 0; a < Conv.sh; a++)
      for (let b = 0; b < Conv.sw; b++) {
        Phase.over(a, b);
        if (Window.taps == 0 || Phase.rows * Phase.cols <= 0) continue;
        if (strided) Phase.reads();
        if (strided && fitsApart()) {
          const at = gx + (usize(Phase.y * Conv.w + Phase.x) << 2);
          fewApart(at, g, wt, Conv.inPlane(), usize(Conv.sh * Conv.w) << 2, usize(Conv.sw) << 2);
        } else phase(gx, g, wt);
      }
}

/** As many units as fit are packed before the images go by. */
function phase(gx: usize, g: usize, wt: usize): void {
  const room = i32(CAPACITY >> 2) / (Conv.cg * Window.taps);
  Phase.planes = max(1, min(Conv.kg, min(DEPTH / Window.taps, room)));
  Phase.blocks = (Conv.kg + Phase.planes - 1) / Phase.planes;
  Phase.unit = usize(Conv.cg * Phase.planes * Window.taps) << 2;
  const units = Conv.groups * Phase.blocks;
  const most = i32(CAPACITY / Phase.unit);
  const size = Phase.rows * Phase.cols;
  for (let first = 0; first < units; first += most) {
    const last = min(units, first + most);
    for (let z = first; z < last; z++) Phase.pack(Scratch.a() + usize(z - first) * Phase.unit, wt, z);
    for (let q = 0; q < Conv.n; q++)
      for (let p = 0; p < size; p += PANEL) {
        Window.aim(p, min(PANEL, size - p));
        if (Phase.strided()) Phase.spread(p, min(PANEL, size - p));
        for (let z = first; z < last; z++) panel(gx, g, Scratch.a() + usize(z - first) * Phase.unit, q, p, z);
      }
  }
}

/** What unit z gives to sixteen pixels of image q. */
function panel(gx: usize, g: usize, left: usize, q: i32, p: i32, z: i32): void {
  const group = z / Phase.blocks;
  const block = z % Phase.blocks;
  const some = min(Phase.planes, Conv.kg - block * Phase.planes);
  const from = q * Conv.k + group * Conv.kg + block * Phase.planes;
  Window.pack(Scratch.b(), g + usize(from) * Conv.outPlane(), Conv.outPlane(), some);
  const depth = some * Window.taps;
  const row = usize(depth) << 2;
  const cols = min(PANEL, Phase.rows * Phase.cols - p);
  const ldc = Conv.inPlane();
  const to = gx + usize(q * Conv.c + group * Conv.cg) * ldc;
  if (Phase.strided())
    Tile.scatter(to, ldc, cols, Scratch.offsets(), left, row, 2 * row, 4, Scratch.b(), Conv.cg, depth, true);
  else
    Tile.column(
      to + (usize(p) << 2),
      ldc,
      cols,
      left,
      row,
      2 * row,
      4,
      Scratch.b(),
      64,
      Conv.cg,
      depth,
      0,
      0,
      block > 0,
      -Infinity,
    );
}
