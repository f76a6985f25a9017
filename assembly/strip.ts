// What a strip of four columns of a plane sees beside itself, inside the plane or at its border. Nothing beside the plane is
// read: what lies there is zeros that are shuffled in.

/** Where there are columns beside the four. */
@final
@unmanaged
export class Inside {
  @inline before(x: usize): v128 {
    return v128.load(x - 4);
  }
  @inline behind(x: usize): v128 {
    return v128.load(x, 4);
  }
  /** The odd columns before four even ones; the odd ones behind them are known. */
  @inline beforeEven(x: usize, odd: v128): v128 {
    return i32x4.shuffle(v128.load32_splat(x - 4), odd, 0, 4, 5, 6);
  }
  /** Lanes that no other strip has. */
  @inline own(v: v128, mask: usize): v128 {
    return v;
  }
}
/** Where the plane ends. */
@final
@unmanaged
export class Border {
  @inline before(x: usize): v128 {
    return i32x4.shuffle(f32x4.splat(0), v128.load(x), 0, 4, 5, 6);
  }
  @inline behind(x: usize): v128 {
    return i32x4.shuffle(v128.load(x), f32x4.splat(0), 1, 2, 3, 4);
  }
  @inline beforeEven(x: usize, odd: v128): v128 {
    return i32x4.shuffle(f32x4.splat(0), odd, 0, 4, 5, 6);
  }
  /** The last strip of a plane overlaps the one before it. */
  @inline own(v: v128, mask: usize): v128 {
    return v128.and(v, v128.load(mask));
  }
}
