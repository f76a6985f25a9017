// Copies of a piece of an image, padded, in which what a tap reads for neighbouring outputs stands side by side, row after row:
// a tap is an offset. Each column of the window and each phase of the steps down has its copy, whose rows are as long as those
// of outputs, so that vectors run on from row to row. Or columns of the window that lie whole steps apart share one: its rows are
// longer by what a window reaches, and sums go row by row.
import { Block, Lines } from './lines';
import { Scratch } from './scratch';
import { MOST_TAPS } from './window';

/** Bytes for copies. */
export const ROOM: usize = 1 << 20;

export class Copies {
  /** What windows look at, and the windows. */
  static h: i32 = 0;
  static w: i32 = 0;
  static r: i32 = 0;
  static s: i32 = 0;
  static sh: i32 = 0;
  static sw: i32 = 0;
  static ph: i32 = 0;
  static pw: i32 = 0;
  static dh: i32 = 0;
  static dw: i32 = 0;
  /** Rows and columns of the piece, in outputs. It has all columns unless it is of one row. */
  static rows: i32 = 0;
  static cols: i32 = 0;
  /** Whether columns of the window share a copy, and how long rows of copies are. */
  static shared: bool = false;
  static pitch: i32 = 0;
  /** Rows of the window that lie whole steps apart are one phase, and columns too; where phases begin stands in tables. */
  static phases: i32 = 0;
  private static across: i32 = 0;
  /** Bytes of a copy, and from one channel's copies to the next: an odd number of cache lines, or they would share sets. */
  static plane: usize = 0;
  static channel: usize = 0;

  static over(h: i32, w: i32, r: i32, s: i32, sh: i32, sw: i32, ph: i32, pw: i32, dh: i32, dw: i32): void {
    Copies.h = h;
    Copies.w = w;
    Copies.r = r;
    Copies.s = s;
    Copies.sh = sh;
    Copies.sw = sw;
    Copies.ph = ph;
    Copies.pw = pw;
    Copies.dh = dh;
    Copies.dw = dw;
    Copies.shared = false;
    Copies.phases = Copies.list(Copies.down(), r, dh, sh);
    Copies.across = Copies.list(Copies.right(), s, dw, sw);
  }
  /** Lists where phases begin, and behind them the phase of each of n taps; returns how many there are. */
  private static list(to: usize, n: i32, dilation: i32, step: i32): i32 {
    let phases = 0;
    for (let u = 0; u < n; u++) {
      const a = (u * dilation) % step;
      let k = 0;
      while (k < phases && Copies.at(to, k) != a) k++;
      store<i32>(to + (usize(MOST_TAPS + u) << 2), k);
      if (k == phases) store<i32>(to + (usize(phases++) << 2), a);
    }
    return phases;
  }
  /** Whether no copies are needed: windows see channels as they lie, and these do not share sets of L1. */
  static none(): bool {
    const steps = Copies.sh == 1 && Copies.sw == 1;
    const whole = steps && Copies.r * Copies.s == 1 && Copies.ph == 0 && Copies.pw == 0;
    return whole && ((Copies.h * Copies.w) & 127) != 0;
  }
  @inline private static down(): usize {
    return Scratch.tables() + (1 << 18);
  }
  @inline private static right(): usize {
    return Copies.down() + (MOST_TAPS << 3);
  }
  @inline private static at(table: usize, k: i32): i32 {
    return load<i32>(table + (usize(k) << 2));
  }

  static cut(rows: i32, cols: i32): void {
    Copies.rows = rows;
    Copies.cols = cols;
    Copies.pitch = Copies.shared ? cols + Copies.reach() / Copies.sw : cols;
    Copies.plane = usize(Copies.lines() * Copies.pitch) << 2;
    Copies.channel = ((Copies.plane * usize(Copies.count()) + 63) & ~63) | 64;
  }
  /** Copies of a channel. */
  @inline static count(): i32 {
    return Copies.columns() * Copies.phases;
  }
  @inline private static columns(): i32 {
    return Copies.shared ? Copies.across : Copies.s;
  }
  /** Columns from the first of a window to the last. */
  @inline static reach(): i32 {
    return (Copies.s - 1) * Copies.dw;
  }
  /** Rows of a copy. */
  @inline private static lines(): i32 {
    return Copies.rows + ((Copies.r - 1) * Copies.dh) / Copies.sh;
  }
  /** Where tap (u, v) finds the first output's pixel, in bytes from a channel's copies. */
  static tap(u: i32, v: i32): usize {
    const k = Copies.at(Copies.down(), MOST_TAPS + u);
    const down = usize(((u * Copies.dh) / Copies.sh) * Copies.pitch) << 2;
    if (!Copies.shared) return usize(v * Copies.phases + k) * Copies.plane + down;
    const column = Copies.at(Copies.right(), MOST_TAPS + v);
    return (
      usize(column * Copies.phases + k) * Copies.plane + down + (usize((v * Copies.dw) / Copies.sw) << 2)
    );
  }

  /** Copies the piece whose first output is (i, j) of `channels` channels. What lies outside must be zero already. */
  static fill(to: usize, x: usize, channels: i32, i: i32, j: i32): void {
    for (; channels > 0; channels--, to += Copies.channel, x += usize(Copies.h * Copies.w) << 2) {
      let at = to;
      for (let v = 0; v < Copies.columns(); v++) {
        const first = Copies.shared ? Copies.at(Copies.right(), v) : v * Copies.dw;
        for (let k = 0; k < Copies.phases; k++, at += Copies.plane) {
          const row = i * Copies.sh + Copies.at(Copies.down(), k) - Copies.ph;
          Copies.column(at, x, row, j * Copies.sw + first - Copies.pw);
        }
      }
    }
  }

  /** One copy: its first pixel is (y, x0) of the image. */
  private static column(to: usize, x: usize, y: i32, x0: i32): void {
    const first = Lines.first(x0, Copies.sw, Copies.pitch);
    const last = Lines.end(x0, Copies.sw, Copies.pitch, Copies.w);
    if (first >= last) return;
    if (Copies.sh == 1 && Copies.sw == 1 && Copies.pitch == Copies.w) return Copies.shifted(to, x, y, x0);
    const top = Lines.first(y, Copies.sh, Copies.lines());
    const bottom = Lines.end(y, Copies.sh, Copies.lines(), Copies.h);
    const row = usize(Copies.pitch) << 2;
    const line = usize(Copies.w) << 2;
    to += usize(top) * row + (usize(first) << 2);
    x += usize(y + top * Copies.sh) * line + (usize(x0 + first * Copies.sw) << 2);
    Block.copy(to, row, x, usize(Copies.sh) * line, Copies.sw, last - first, bottom - top);
  }

  /** Rows as wide as the image's are one run; what comes from the row before or behind is set to zero again. */
  private static shifted(to: usize, x: usize, y: i32, x0: i32): void {
    const first = max(0, -y);
    const last = min(Copies.lines(), Copies.h - y);
    if (first >= last) return;
    const row = usize(Copies.w) << 2;
    const before = usize(max(0, -x0)) << 2;
    const behind = usize(max(0, x0)) << 2;
    to += usize(first) * row;
    const end = to + usize(last - first) * row;
    const from = x + usize(y + first) * row + behind;
    Lines.copy(to + before, from, i32((end - to - before - behind) >> 2));
    for (let q: usize = 0; q < before; q += 4) Copies.clear(to + q, end, row);
    for (let q = row - behind; q < row; q += 4) Copies.clear(to + q, end, row);
  }
  private static clear(to: usize, end: usize, step: usize): void {
    for (; to < end; to += step) f32.store(to, 0);
  }
}
