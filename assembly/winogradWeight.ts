// The gradient of a convolution by its weight in Winograd's way: Gᵀ[Σ (Bᵀ d B) ⊙ (A g Aᵀ)]G. The sum over tiles is sixteen products,
// a block of tiles after the other; blocks depend on nothing but the sizes of a group.
import { Conv } from './geometry';
import { Part } from './part';
import { PANEL, Tile } from './tile';
import { Inputs, MOST_TILES, SLACK, Tiles } from './tiles';
import { Filters, Gradients } from './tilesGrad';
import { APART, Place } from './winograd';

/** Bytes of a block's transformed inputs and gradients: with the sums that they meet, not much more than a small L2. */
const BLOCK: usize = 3 << 18;
/** Outputs at a time: with more, blocks would be too short. */
const MOST_OUTPUTS: i32 = 512;

/** What the part has: inputs `from` to `to`, and at the moment `outs` outputs of a group. */
class Share {
  static from: i32 = 0;
  static to: i32 = 0;
  static outs: i32 = 0;
  /** Tiles of a block. */
  static block: i32 = 0;

  @inline static ins(): i32 {
    return Share.to - Share.from;
  }
  @inline static row(): usize {
    return usize(Share.block + SLACK) << 2;
  }
  @inline static inputStep(): usize {
    return usize(Share.ins()) * Share.row() + APART;
  }
  /** Gradients are panels of sixteen outputs, and so are sums. */
  @inline static panel(): usize {
    return usize(Share.block) << 6;
  }
  @inline static gradients(): usize {
    return Place.inputs() + 16 * Share.inputStep();
  }
  @inline static gradientStep(): usize {
    return usize(Share.panels()) * Share.panel() + APART;
  }
  @inline static sumStep(): usize {
    return (usize(Share.panels() * Share.ins()) << 6) + APART;
  }
  @inline static panels(): i32 {
    return (Share.outs + PANEL - 1) / PANEL;
  }
}

export function winogradWeight(gw: usize, x: usize, g: usize): void {
  Tiles.over(Conv.h, Conv.w, Conv.ph, Conv.pw, Conv.oh, Conv.ow);
  const single = Conv.groups == 1;
  // Every part transforms what it does not cut; an input costs twice as much as an output.
  const byOutput = single && 2 * Conv.cg < Conv.kg;
  const byInput = single && !byOutput;
  const start = byOutput ? Part.from(Conv.kg, PANEL) : 0;
  const end = byOutput ? Part.to(Conv.kg, PANEL) : Conv.kg;
  Share.from = byInput ? Part.from(Conv.cg, 2) : 0;
  Share.to = byInput ? Part.to(Conv.cg, 2) : Conv.cg;
  const most = min(MOST_OUTPUTS, i32(Place.room() / (usize(Conv.cg) << 6)) & ~(PANEL - 1));
  const rows = min(most, Conv.kg) + Conv.cg;
  Share.block = max(PANEL, min(MOST_TILES, (i32(BLOCK >> 6) - SLACK * Conv.cg) / rows));
  const first = single ? 0 : Part.from(Conv.groups, 1);
  const last = single ? 1 : Part.to(Conv.groups, 1);
  for (let group = first; group < last; group++)
    for (let f = start; f < end; f += most) {
      Share.outs = min(most, end - f);
      outputs(gw, x, g, group * Conv.cg, group * Conv.kg + f);
    }
}

/** The windows of the outputs from the f-th on, over the group's inputs, of which the first is the e-th. */
function outputs(gw: usize, x: usize, g: usize, e: i32, f: i32): void {
  const tiles = Conv.n * Tiles.each();
  for (let p = 0; p < tiles; p += Share.block) {
    const count = min(Share.block, tiles - p);
    transform(x + usize(e + Share.from) * Conv.inPlane(), g + usize(f) * Conv.outPlane(), p, p + count);
    add(count, p > 0);
  }
  const out = usize(Conv.cg * 9) << 2;
  for (let j = 0; j < Share.outs; j += PANEL)
    for (let i = 0; i < Share.ins(); i++) {
      const to = gw + usize(f + j) * out + usize(((Share.from + i) * 9) << 2);
      const from = Place.weights() + (usize((j >> 4) * Share.ins() + i) << 6);
      Filters.transform(to, out, from, Share.sumStep(), min(PANEL, Share.outs - j));
    }
}

/** The tiles p to `end` of both images. */
function transform(x: usize, g: usize, p: i32, end: i32): void {
  let inputs = Place.inputs();
  let gradients = Share.gradients();
  while (p < end) {
    const count = Tiles.run(p, end);
    const image = usize(Tiles.image);
    Inputs.transform(
      inputs,
      Share.inputStep(),
      Share.row(),
      x + image * usize(Conv.c) * Conv.inPlane(),
      Share.ins(),
    );
    const from = g + image * usize(Conv.k) * Conv.outPlane();
    for (let j = 0; j < Share.outs; j += PANEL) {
      const to = gradients + usize(j >> 4) * Share.panel();
      Gradients.transform(
        to,
        Share.gradientStep(),
        from + usize(j) * Conv.outPlane(),
        min(PANEL, Share.outs - j),
      );
    }
    inputs += usize(count) << 2;
    gradients += usize(count) << 6;
    p += count;
  }
}

/** Adds `count` tiles to the sums, or starts them. */
function add(count: i32, adds: bool): void {
  const row = Share.row();
  for (let i: usize = 0; i < 16; i++)
    for (let j: usize = 0; j < usize(Share.panels()); j++) {
      const c = Place.weights() + i * Share.sumStep() + ((j * usize(Share.ins())) << 6);
      const a = Place.inputs() + i * Share.inputStep();
      const b = Share.gradients() + i * Share.gradientStep() + j * Share.panel();
      Tile.column(c, 64, PANEL, a, row, 2 * row, 4, b, 64, Share.ins(), count, 0, 0, adds, -Infinity);
    }
}
