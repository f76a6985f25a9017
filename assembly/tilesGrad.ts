// The transforms of the gradient by the weight in Winograd's way, Gᵀ[Σ (Bᵀ d B) ⊙ (A g Aᵀ)]G: what tiles.ts does not share with
// it. Gradients of outputs, and the windows that their sums become.
import { Pack } from './pack';
import { Scratch } from './scratch';
import { Stage, Tiles } from './tiles';

/** A d Aᵀ, A d = (d0, d0 + d1, d0 - d1, -d1). The last row and column are left without their sign, which Filters knows. */
export class Gradients {
  /** Of the run at hand for up to sixteen planes of which the first is g: a row of sixteen for each tile. */
  static transform(to: usize, step: usize, g: usize, planes: i32): void {
    const plane = usize(Tiles.oh * Tiles.ow) << 2;
    const cols = min(2 * Tiles.count, Tiles.ow - 2 * Tiles.first);
    const next = 2 * Tiles.row + 1 < Tiles.oh;
    g += usize(2 * (Tiles.row * Tiles.ow + Tiles.first)) << 2;
    Gradients.stage(Stage.outputs(), g, plane, cols, planes);
    Gradients.stage(Stage.below(), g + (usize(Tiles.ow) << 2), plane, next ? cols : 0, planes);
    let from: usize = 0;
    for (const end = to + (usize(Tiles.count) << 6); to < end; to += 64, from += 128)
      for (let j: usize = 0; j < 64; j += 16)
        Gradients.four(to + j, step, Stage.outputs() + from + j, Stage.below() + from + j);
  }
  /** A row of pixels, sixteen planes each, and zeros up to whole tiles. */
  private static stage(to: usize, g: usize, plane: usize, cols: i32, planes: i32): void {
    Pack.columns(to, g, plane, cols, planes, 1);
    memory.fill(to + (usize(cols) << 6), 0, usize(2 * Tiles.count - cols) << 6);
  }
  /** A tile of four planes. */
  @inline private static four(to: usize, step: usize, top: usize, bottom: usize): void {
    const a = v128.load(top);
    const b = v128.load(top, 64);
    const c = v128.load(bottom);
    const d = v128.load(bottom, 64);
    Gradients.across(to, step, a, b);
    Gradients.across(to + 4 * step, step, f32x4.add(a, c), f32x4.add(b, d));
    Gradients.across(to + 8 * step, step, f32x4.sub(a, c), f32x4.sub(b, d));
    Gradients.across(to + 12 * step, step, c, d);
  }
  @inline private static across(to: usize, step: usize, a: v128, b: v128): void {
    v128.store(to, a);
    v128.store(to + step, f32x4.add(a, b));
    v128.store(to + 2 * step, f32x4.sub(a, b));
    v128.store(to + 3 * step, b);
  }
}

/** Gᵀ s G, Gᵀ s = (s0 + (s1 + s2) / 2, (s1 - s2) / 2, (s1 + s2) / 2 - s3), s3 being without its sign. */
export class Filters {
  /** Of a row of up to sixteen outputs: windows of nine, `out` bytes apart. */
  static transform(gw: usize, out: usize, s: usize, step: usize, outs: i32): void {
    for (; outs > 0; outs -= 4, s += 16, gw += 4 * out) {
      // Rows of three: what is left of the columns of four.
      for (let i: usize = 0; i < 4; i++) Filters.down(Filters.half() + (i << 4), s + i * step, 4 * step);
      for (let r: usize = 0; r < 3; r++) Filters.across(Filters.taps() + 48 * r, Filters.half() + (r << 6));
      const some = usize(min(4, outs));
      for (let f: usize = 0; f < some; f++)
        for (let t: usize = 0; t < 9; t++)
          f32.store(gw + f * out + (t << 2), f32.load(Filters.taps() + (t << 4) + (f << 2)));
    }
  }
  /** Three rows of four vectors, and nine vectors, a tap each. */
  @inline private static half(): usize {
    return Scratch.tall();
  }
  @inline private static taps(): usize {
    return Scratch.tall() + 192;
  }
  @inline private static down(to: usize, s: usize, row: usize): void {
    const a = v128.load(s + row);
    const b = v128.load(s + 2 * row);
    const half = f32x4.mul(f32x4.add(a, b), f32x4.splat(0.5));
    v128.store(to, f32x4.add(v128.load(s), half));
    v128.store(to, f32x4.mul(f32x4.sub(a, b), f32x4.splat(0.5)), 64);
    v128.store(to, f32x4.sub(half, v128.load(s + 3 * row)), 128);
  }
  @inline private static across(to: usize, z: usize): void {
    const a = v128.load(z, 16);
    const b = v128.load(z, 32);
    const half = f32x4.mul(f32x4.add(a, b), f32x4.splat(0.5));
    v128.store(to, f32x4.add(v128.load(z), half));
    v128.store(to, f32x4.mul(f32x4.sub(a, b), f32x4.splat(0.5)), 16);
    v128.store(to, f32x4.sub(half, v128.load(z, 48)), 32);
  }
}
