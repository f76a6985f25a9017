// One head of attention: its sizes, its tiles of scores, and what forward and backward pass do to them alike. Sizes are set
// once a kernel call, as in geometry.ts.
import { product } from './matmul';

/** A tile. Its scores, 64 KiB, lie in L2; packing the keys costs 1/256 of a product over them. */
export const QUERIES: i32 = 256;
export const KEYS: i32 = 64;
/** Bytes of a tile's row. */
export const ROW: usize = usize(KEYS) << 2;

export class Head {
  static keys: i32 = 0;
  static d: i32 = 0;
  static dv: i32 = 0;
  static scale: f32 = 0;
  static causal: bool = false;

  static over(queries: i32, keys: i32, d: i32, dv: i32, scale: f64, causal: i32): void {
    Head.keys = keys;
    Head.d = d;
    Head.dv = dv;
    Head.scale = f32(scale);
    Head.causal = causal != 0;
  }
  @inline static size(rows: i32, cols: i32): usize {
    return (usize(rows) * usize(cols)) << 2;
  }
  /** The first query from i on that may look at key j. */
  @inline static firstQuery(i: i32, j: i32): i32 {
    return Head.causal ? max(i, j) : i;
  }
  /** How many of `width` keys from j on a query may look at; at least one from its tile's first query on. */
  @inline static seen(query: i32, j: i32, width: i32): i32 {
    return Head.causal ? min(width, query - j + 1) : width;
  }

  /** A tile: scale q kᵀ for `rows` queries from i on and `cols` keys from j on. */
  static scores(to: usize, q: usize, k: usize, i: i32, j: i32, rows: i32, cols: i32): void {
    const row = Head.size(1, Head.d);
    const a = q + Head.size(i, Head.d);
    const b = k + Head.size(j, Head.d);
    product(to, a, b, 0, 0, rows, cols, Head.d, 0, 1, row, row, ROW, Head.scale, false, 0);
  }

  /** s += the mask of `query` for `seen` keys from j on. */
  static addMask(s: usize, mask: usize, query: i32, j: i32, seen: i32): void {
    const m = mask + Head.size(query, Head.keys) + (usize(j) << 2);
    const size = usize(seen) << 2;
    let c: usize = 0;
    for (const end = size & ~15; c < end; c += 16)
      v128.store(s + c, f32x4.add(v128.load(s + c), v128.load(m + c)));
    for (; c < size; c += 4) f32.store(s + c, f32.load(s + c) + f32.load(m + c));
  }

  /** A row of outputs times a number. */
  static times(y: usize, by: f32): void {
    const b = f32x4.splat(by);
    const end = y + Head.size(1, Head.dv);
    for (; y + 16 <= end; y += 16) v128.store(y, f32x4.mul(v128.load(y), b));
    for (; y < end; y += 4) f32.store(y, f32.load(y) * by);
  }
}
