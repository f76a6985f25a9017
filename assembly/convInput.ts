// The gradient of a convolution by its input, which is also the transposed convolution: W' · columns(g). Where there are steps it
// is the other way round (fold.ts), or phase by phase (convPhases.ts), so that no product is with a zero that they put there.
import { Few, few } from './convFew';
import { Copies } from './copies';
import { depthwiseInput, isDepthwise } from './depthwise';
import { fold, foldFits } from './fold';
import { phases, suitsPhases } from './convPhases';
import { Conv } from './geometry';
import { INPUT, plain } from './plain';
import { CAPACITY, Scratch } from './scratch';
import { DEPTH, PANEL, Tile } from './tile';
import { MOST_TAPS, Window } from './window';
import { suitsWinograd, winogradInput } from './winograd';

/** A unit is a block of W' for `planes` outputs of a group; a group has `blocks` of them, `size` bytes each. */
class Unit {
  static planes: i32 = 0;
  static blocks: i32 = 0;
  static size: usize = 0;

  /** Packs unit z: row c holds the taps of each of its outputs. */
  static pack(to: usize, wt: usize, z: i32): void {
    const first = (z / Unit.blocks) * Conv.kg;
    const from = first + (z % Unit.blocks) * Unit.planes;
    const end = min(first + Conv.kg, from + Unit.planes);
    const taps = usize(Conv.r * Conv.s) << 2;
    for (let e = 0; e < Conv.cg; e++)
      for (let f = from; f < end; f++, to += taps) memory.copy(to, wt + usize(f * Conv.cg + e) * taps, taps);
  }
}

/** What a sum of a tap costs on its way into the image, in multiply-adds of vectors as in convFew.ts. */
const TAP: f64 = 4;

/** Whether taps are better summed one by one and then added: where there are steps, much padding, or few channels. */
function suitsFold(): bool {
  if (!foldFits()) return false;
  if (Conv.sh > 1 || Conv.sw > 1) return true;
  const taps = f64(Conv.r * Conv.s);
  const outs = f64(Conv.kg);
  const folded = f64(Conv.oh * Conv.ow * Conv.cg) * taps * (outs * 1.1 + TAP);
  const terms = taps * outs;
  const packed = f64((Conv.cg + 1) & ~1) * (terms + 6) + terms * 4;
  return folded < f64(Conv.h * Conv.w) * (Few.fits() ? Few.cost(Copies.shared) : packed);
}

export function gradInput(gx: usize, g: usize, wt: usize): void {
  const taps = Conv.r * Conv.s;
  const unit = usize(Conv.cg * taps) << 2;
  if (Conv.k == 0 || Conv.oh < 1 || Conv.ow < 1 || taps > MOST_TAPS || unit > CAPACITY)
    return unpacked(gx, g, wt);
  if (isDepthwise()) return depthwiseInput(gx, g, wt);
  if (suitsPhases()) return phases(gx, g, wt);
  Few.backward();
  if (suitsWinograd(Conv.kg, Conv.cg, Conv.h, Conv.w)) winogradInput(gx, g, wt);
  else if (suitsFold()) fold(gx, g, wt);
  else if (Conv.sh > 1 || Conv.sw > 1) unpacked(gx, g, wt);
  else if (Few.fits()) few(gx, g, wt, 0, 0, 0, Conv.cg, 0);
  else packed(gx, g, wt);
}

function unpacked(gx: usize, g: usize, wt: usize): void {
  const size = usize((Conv.to - Conv.from) * Conv.cg) * Conv.inPlane();
  for (let q = 0; q < Conv.n; q++)
    memory.fill(gx + usize(q * Conv.c + Conv.from * Conv.cg) * Conv.inPlane(), 0, size);
  plain(INPUT, gx, wt, g);
}

/** As many units as fit are packed before the images go by. */
function packed(gx: usize, g: usize, wt: usize): void {
  Window.over(Conv.oh, Conv.ow, 1, 1, Conv.w);
  for (let u = 0; u < Conv.r; u++)
    for (let v = 0; v < Conv.s; v++) Window.tap(Conv.ph - u * Conv.dh, Conv.pw - v * Conv.dw);
  const room = i32(CAPACITY >> 2) / (Conv.cg * Window.taps);
  Unit.planes = max(1, min(Conv.kg, min(DEPTH / Window.taps, room)));
  Unit.blocks = (Conv.kg + Unit.planes - 1) / Unit.planes;
  Unit.size = usize(Conv.cg * Unit.planes * Window.taps) << 2;
  const units = Conv.to * Unit.blocks;
  const most = i32(CAPACITY / Unit.size);
  const size = Conv.h * Conv.w;
  for (let first = Conv.from * Unit.blocks; first < units; first += most) {
    const last = min(units, first + most);
    for (let z = first; z < last; z++) Unit.pack(Scratch.a() + usize(z - first) * Unit.size, wt, z);
    for (let q = 0; q < Conv.n; q++)
      for (let p = 0; p < size; p += PANEL) {
        Window.aim(p, min(PANEL, size - p));
        for (let z = first; z < last; z++) panel(gx, g, Scratch.a() + usize(z - first) * Unit.size, q, p, z);
      }
  }
}
/** What unit z gives to sixteen pixels of image q. */
function panel(gx: usize, g: usize, left: usize, q: i32, p: i32, z: i32): void {
  const group = z / Unit.blocks;
  const block = z % Unit.blocks;
  const some = min(Unit.planes, Conv.kg - block * Unit.planes);
  const from = q * Conv.k + group * Conv.kg + block * Unit.planes;
  Window.pack(Scratch.b(), g + usize(from) * Conv.outPlane(), Conv.outPlane(), some);
  const depth = some * Window.taps;
  const row = usize(depth) << 2;
  const cols = min(PANEL, Conv.h * Conv.w - p);
  const ldc = Conv.inPlane();
  const to = gx + usize(q * Conv.c + group * Conv.cg) * ldc + (usize(p) << 2);
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
    Conv.cg,
    depth,
    0,
    0,
    block > 0,
    -Infinity,
  );
}
