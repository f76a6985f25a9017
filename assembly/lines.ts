// Lines of pixels, all of them or every so many, copied to where they lie side by side; and which of a line a window sees.

export class Lines {
  /** The first k < n for which pixel x + k step is not before the image; n if there is none. */
  @inline static first(x: i32, step: i32, n: i32): i32 {
    return x < 0 ? min(n, (step - 1 - x) / step) : 0;
  }
  /** The k behind the last one whose pixel lies before the end of `size` pixels. */
  @inline static end(x: i32, step: i32, n: i32, size: i32): i32 {
    return x < size ? min(n, (size - 1 - x) / step + 1) : 0;
  }

  /** `count` pixels, each `step` after the one before. The last vector overlaps the one before it. */
  @inline static copy(to: usize, from: usize, step: i32, count: i32): void {
    const end = to + (usize(count) << 2);
    const last = end - 16;
    if (count >= 4 && step == 1) {
      for (; to + 48 < last; to += 64, from += 64) {
        v128.store(to, v128.load(from));
        v128.store(to, v128.load(from, 16), 16);
        v128.store(to, v128.load(from, 32), 32);
        v128.store(to, v128.load(from, 48), 48);
      }
      for (; to < last; to += 16, from += 16) v128.store(to, v128.load(from));
      v128.store(last, v128.load(from - (to - last)));
    } else if (count >= 4 && step == 2) {
      for (; to < last; to += 16, from += 32) Lines.halve(to, from);
      Lines.halve(last, from - 2 * (to - last));
    } else for (const next = usize(step) << 2; to < end; to += 4, from += next) f32.store(to, f32.load(from));
  }
  /** Four of seven pixels: an eighth may lie outside. */
  @inline private static halve(to: usize, from: usize): void {
    v128.store(to, i32x4.shuffle(v128.load(from), v128.load(from, 12), 0, 2, 5, 7));
  }
}
