// Convolutions of few terms, for which packing a panel would cost as much as its sums: copies of the image in which each tap
// finds the pixels of neighbouring outputs side by side are read as they are. A single tap without steps reads the image.
import { Copies, ROOM } from './copies';
import { Conv } from './geometry';
import { Epilogue, RELU } from './epilogue';
import { Rows } from './rows';
import { Scratch } from './scratch';
import { Sweep } from './sweep';
import { MOST_TAPS } from './window';

/** With more terms what a tile reads leaves L1, and packing takes little of the time, unless it is for a few outputs. */
const MOST_TERMS: i32 = 160;
const FEW_OUTPUTS: i32 = 8;
const MOST_TERMS_OF_FEW: i32 = 1024;

/** Costs of a vector in multiply-adds, by the time they take: a term of a sum, the rest of a sum, and a copied vector. */
class Cost {
  static TERM: f64 = 1.08;
  static SUM: f64 = 5;
  static COPY: f64 = 1.5;
}

/** One convolution as it is computed here: a gradient by the input in steps of 1 is one too, of what it is given. */
export class Few {
  /** Size of the outputs, and rows of them that are computed at a time. */
  static oh: i32 = 0;
  static ow: i32 = 0;
  static rows: i32 = 0;
  /** Channels and outputs of a group. */
  static ins: i32 = 0;
  static outs: i32 = 0;
  /** Bytes from one image to the next. */
  static from: usize = 0;
  static to: usize = 0;
  /** Whether rows are planes of the image itself. */
  static direct: bool = false;
  /** Whether windows are turned round. */
  static turned: bool = false;

  /** Makes the convolution at hand the one to compute. */
  static forward(): void {
    Copies.over(Conv.h, Conv.w, Conv.r, Conv.s, Conv.sh, Conv.sw, Conv.ph, Conv.pw, Conv.dh, Conv.dw);
    Few.oh = Conv.oh;
    Few.ow = Conv.ow;
    Few.ins = Conv.cg;
    Few.outs = Conv.kg;
    Few.from = usize(Conv.c) * Conv.inPlane();
    Few.to = usize(Conv.k) * Conv.outPlane();
    Few.turned = false;
    Rows.inn = usize(Conv.r * Conv.s) << 2;
    Rows.out = usize(Conv.cg) * Rows.inn;
    Few.cut();
  }
  /** The same for its gradient by the input, whose steps must be 1. */
  static backward(): void {
    const ph = (Conv.r - 1) * Conv.dh - Conv.ph;
    const pw = (Conv.s - 1) * Conv.dw - Conv.pw;
    Copies.over(Conv.oh, Conv.ow, Conv.r, Conv.s, 1, 1, ph, pw, Conv.dh, Conv.dw);
    Few.oh = Conv.h;
    Few.ow = Conv.w;
    Few.ins = Conv.kg;
    Few.outs = Conv.cg;
    Few.from = usize(Conv.k) * Conv.outPlane();
    Few.to = usize(Conv.c) * Conv.inPlane();
    Few.turned = true;
    Rows.out = usize(Conv.r * Conv.s) << 2;
    Rows.inn = usize(Conv.cg) * Rows.out;
    Few.cut();
  }
  /** As many rows at a time as there is room for. */
  private static cut(): void {
    Few.direct = Copies.none();
    Copies.shared = Few.shares();
    Few.rows = Few.oh;
    for (; Few.rows > 1; Few.rows = (Few.rows + 1) >> 1) {
      Copies.cut(Few.rows, Few.ow);
      if (Few.direct || usize(Few.ins) * Copies.channel <= ROOM) break;
    }
  }
  /** Whether it costs less to sum row by row, with what last vectors have beyond the outputs, than to make more copies. */
  private static shares(): bool {
    return !Few.direct && Few.cost(true) < Few.cost(false);
  }
  /** What a vector of positions costs, all outputs together, where copies are shared or not. */
  static cost(shared: bool): f64 {
    const outs = f64(Few.outs);
    const terms = f64(Few.terms()) * Cost.TERM;
    const copy = Few.direct ? 0 : f64(Few.ins * Copies.sw) * Cost.COPY;
    if (!shared) return outs * (terms + Cost.SUM) + f64(Copies.s) * copy;
    return outs * Sweep.cost(Few.ow, Few.outs, terms) + (f64(Few.ow + Copies.reach()) / f64(Few.ow)) * copy;
  }
  @inline static terms(): i32 {
    return Few.ins * Copies.r * Copies.s;
  }
  @inline static outPlane(): usize {
    return usize(Few.oh * Few.ow) << 2;
  }
  /** Whether this is a way. */
  static fits(): bool {
    const most = Few.outs > FEW_OUTPUTS ? MOST_TERMS : MOST_TERMS_OF_FEW;
    if (Few.oh < 1 || Few.terms() > most) return false;
    Copies.cut(Few.rows, Few.ow);
    if (!Few.direct && usize(Few.ins) * Copies.channel > ROOM) return false;
    const least = ((Few.oh - 1) % Few.rows) + 1;
    Few.list();
    return Copies.shared ? Rows.holds(Few.outs) : Rows.fits(min(Few.rows, least) * Copies.pitch, Few.outs);
  }
  /** Tells where rows lie. */
  static list(): void {
    const taps = Copies.r * Copies.s;
    Rows.ins = Few.ins;
    Rows.taps = taps;
    Rows.rows = Few.ins * (Few.direct ? 1 : Copies.count());
    Rows.channel = Few.direct ? usize(Copies.h * Copies.w) << 2 : Copies.channel;
    if (taps <= MOST_TAPS)
      for (let t = 0; t < taps; t++)
        Rows.tap(t, Copies.tap(t / Copies.s, t % Copies.s), (Few.turned ? taps - 1 - t : t) << 2);
  }
}

/** y = act(x * w + bias + residual) for the outputs `first` to `last` of each group. */
export function few(
  y: usize,
  x: usize,
  wt: usize,
  bias: usize,
  away: usize,
  first: i32,
  last: i32,
  act: i32,
): void {
  // A part without outputs has nothing to copy for.
  if (first == last || Conv.from == Conv.to) return;
  const lowest: f32 = act == RELU && !away ? 0 : -Infinity;
  const copies = Scratch.spare();
  const plane = usize(Copies.h * Copies.w) << 2;
  // Weights lie as the convolution has them: by its outputs first.
  const group = usize(Conv.kg * Conv.cg * Conv.r * Conv.s) << 2;
  for (let i = 0; i < Few.oh; i += Few.rows) {
    const rows = min(Few.rows, Few.oh - i);
    Copies.cut(rows, Few.ow);
    Few.list();
    if (!Few.direct) memory.fill(copies, 0, usize(Few.ins) * Copies.channel);
    const down = usize(i * Few.ow) << 2;
    for (let g = Conv.from; g < Conv.to; g++) {
      Rows.fill(wt + usize(g) * group, bias ? bias + (usize(g * Few.outs) << 2) : 0, first, last);
      for (let q = 0; q < Conv.n; q++) {
        let from = x + usize(q) * Few.from + usize(g * Few.ins) * plane;
        if (!Few.direct) {
          Copies.fill(copies, from, Few.ins, i, 0);
          from = copies;
        }
        const to = y + usize(q) * Few.to + usize(g * Few.outs + first) * Few.outPlane();
        sums(to + down, from, last - first, rows, lowest);
        if (away || act > RELU)
          Epilogue.finish(to + down, Few.outPlane(), last - first, rows * Few.ow, 0, away, act);
      }
    }
  }
}

/** `outs` outputs of a piece of `rows` rows. */
function sums(y: usize, x: usize, outs: i32, rows: i32, lowest: f32): void {
  if (!Copies.shared) return Rows.run(y, Few.outPlane(), x, outs, rows * Few.ow, lowest);
  Sweep.over(rows, Few.ow, usize(Few.ow) << 2, Few.outPlane(), usize(Copies.pitch) << 2, lowest);
  Sweep.run(y, x, outs);
}
