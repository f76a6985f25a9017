// Where a convolution's window looks: an image plane, a grid of positions, and a list of taps. Panels of B and rows of A
// are packed straight from the image; what lies outside it is packed as zeros and never read.
import { Conv } from './geometry';
import { Scratch } from './scratch';
import { PANEL } from './tile';

/** More taps than this take the plain path. */
export const MOST_TAPS: i32 = 1024;
const GROUP: usize = 32;

class Tables {
  @inline static taps(): usize {
    return Scratch.tables();
  }
  /** For each tap and each four positions: how they lie, and their four byte offsets in a plane. */
  @inline static groups(): usize {
    return Scratch.tables() + (MOST_TAPS << 3);
  }
  /** Image coordinates of the sixteen positions of the panel at hand, before the taps' offsets. */
  @inline static places(): usize {
    return Tables.groups() + (MOST_TAPS << 7);
  }
}

const OUTSIDE: i32 = 0;
const TOGETHER: i32 = 1;
const APART: i32 = 2;
const NOWHERE: i32 = -0x10000000;

/** What lanes outside the image read. */
const ZERO: usize = memory.data(4, 4);

export class Window {
  /** The plane. */
  static h: i32 = 0;
  static w: i32 = 0;
  /** Steps of the window, and positions in a row of the grid. */
  static sh: i32 = 1;
  static sw: i32 = 1;
  static row: i32 = 0;
  static taps: i32 = 0;

  static over(h: i32, w: i32, sh: i32, sw: i32, row: i32): void {
    Window.h = h;
    Window.w = w;
    Window.sh = sh;
    Window.sw = sw;
    Window.row = row;
    Window.taps = 0;
  }

  /** The convolution's own window over its input. */
  static ofInput(): void {
    Window.over(Conv.h, Conv.w, Conv.sh, Conv.sw, Conv.ow);
    for (let u = 0; u < Conv.r; u++)
      for (let v = 0; v < Conv.s; v++) Window.tap(u * Conv.dh - Conv.ph, v * Conv.dw - Conv.pw);
  }

  /** Adds a tap: position (i, j) reads (i sh + dy, j sw + dx). */
  static tap(dy: i32, dx: i32): void {
    const at = Tables.taps() + (usize(Window.taps) << 3);
    store<i32>(at, dy);
    store<i32>(at, dx, 4);
    Window.taps++;
  }

  /** Finds where each tap reads for the `cols` positions from p on. */
  static aim(p: i32, cols: i32): void {
    let i = p / Window.row;
    let j = p % Window.row;
    for (let q: i32 = 0; q < PANEL; q++) {
      const at = Tables.places() + (usize(q) << 3);
      store<i32>(at, q < cols ? i * Window.sh : NOWHERE);
      store<i32>(at, j * Window.sw, 4);
      if (++j == Window.row) {
        j = 0;
        i++;
      }
    }
    for (let q: i32 = 0; q < 4; q++) {
      const at = Tables.places() + (usize(q) << 5);
      const y = load<i32>(at);
      // The four share a row if the first and the last do: positions rise.
      const joined = Window.sw == 1 && y != NOWHERE && y == load<i32>(at, 24) && Window.row >= 4;
      for (let t = 0; t < Window.taps; t++) Window.aimGroup(q, t, at, joined);
    }
  }

  private static aimGroup(q: i32, t: i32, at: usize, joined: bool): void {
    const dy = load<i32>(Tables.taps() + (usize(t) << 3));
    const dx = load<i32>(Tables.taps() + (usize(t) << 3), 4);
    const group = Tables.groups() + usize(t * 4 + q) * GROUP;
    if (joined) {
      const y = load<i32>(at) + dy;
      const x = load<i32>(at, 4) + dx;
      const inside = u32(y) < u32(Window.h);
      if (inside && x >= 0 && x + 4 <= Window.w) {
        store<i32>(group, TOGETHER);
        store<i32>(group, (y * Window.w + x) << 2, 4);
        return;
      }
      if (!inside || x + 4 <= 0 || x >= Window.w) {
        store<i32>(group, OUTSIDE);
        return;
      }
    }
    store<i32>(group, APART);
    for (let lane: usize = 0; lane < 4; lane++) {
      const y = load<i32>(at + (lane << 3)) + dy;
      const x = load<i32>(at + (lane << 3), 4) + dx;
      const inside = u32(y) < u32(Window.h) && u32(x) < u32(Window.w);
      store<i32>(group + (lane << 2), inside ? (y * Window.w + x) << 2 : -1, 4);
    }
  }

  /** Packs the panel: rows (plane, tap), 16 positions each. Planes are `size` bytes apart. */
  static pack(to: usize, x: usize, size: usize, planes: i32): void {
    const step = usize(Window.taps) << 6;
    for (let t = 0; t < Window.taps; t++, to += 64) {
      const group = Tables.groups() + usize(t) * (4 * GROUP);
      const kinds = load<i32>(group) | load<i32>(group, 32) | load<i32>(group, 64) | load<i32>(group, 96);
      const all = load<i32>(group) & load<i32>(group, 32) & load<i32>(group, 64) & load<i32>(group, 96);
      if (kinds == TOGETHER && all == TOGETHER) Window.packRow(to, step, x, size, planes, group);
      else
        for (let q: usize = 0; q < 4; q++)
          Window.packGroup(to + (q << 4), step, x, size, planes, group + q * GROUP);
    }
  }

  private static packRow(to: usize, step: usize, x: usize, size: usize, planes: i32, group: usize): void {
    let x0 = x + load<u32>(group, 4);
    let x1 = x + load<u32>(group, 36);
    let x2 = x + load<u32>(group, 68);
    let x3 = x + load<u32>(group, 100);
    for (; planes > 0; planes--, to += step) {
      v128.store(to, v128.load(x0));
      v128.store(to, v128.load(x1), 16);
      v128.store(to, v128.load(x2), 32);
      v128.store(to, v128.load(x3), 48);
      x0 += size;
      x1 += size;
      x2 += size;
      x3 += size;
    }
  }

  private static packGroup(to: usize, step: usize, x: usize, size: usize, planes: i32, group: usize): void {
    const kind = load<i32>(group);
    if (kind == OUTSIDE) {
      const zero = f32x4.splat(0);
      for (; planes > 0; planes--, to += step) v128.store(to, zero);
    } else if (kind == TOGETHER) {
      x += load<u32>(group, 4);
      for (; planes > 0; planes--, to += step, x += size) v128.store(to, v128.load(x));
    } else Window.packApart(to, step, x, size, planes, group);
  }

  /** Lanes outside the image stand still on a zero. */
  private static packApart(to: usize, step: usize, x: usize, size: usize, planes: i32, group: usize): void {
    const o0 = load<i32>(group, 4);
    const o1 = load<i32>(group, 8);
    const o2 = load<i32>(group, 12);
    const o3 = load<i32>(group, 16);
    let x0 = o0 < 0 ? ZERO : x + usize(o0);
    let x1 = o1 < 0 ? ZERO : x + usize(o1);
    let x2 = o2 < 0 ? ZERO : x + usize(o2);
    let x3 = o3 < 0 ? ZERO : x + usize(o3);
    const s0: usize = o0 < 0 ? 0 : size;
    const s1: usize = o1 < 0 ? 0 : size;
    const s2: usize = o2 < 0 ? 0 : size;
    const s3: usize = o3 < 0 ? 0 : size;
    for (; planes > 0; planes--, to += step) {
      f32.store(to, f32.load(x0));
      f32.store(to, f32.load(x1), 4);
      f32.store(to, f32.load(x2), 8);
      f32.store(to, f32.load(x3), 12);
      x0 += s0;
      x1 += s1;
      x2 += s2;
      x3 += s3;
    }
  }
}
