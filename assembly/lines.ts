// Lines of pixels, all of them or every so many, copied to where they lie side by side; and which of a line a window sees.
import { Eight, Five, Four, One, Seven, Six, Three, Two } from './numbers';

export class Lines {
  /** The first k < n for which pixel x + k step is not before the image; n if there is none. */
  @inline static first(x: i32, step: i32, n: i32): i32 {
    return x < 0 ? min(n, (step - 1 - x) / step) : 0;
  }
  /** The k behind the last one whose pixel lies before the end of `size` pixels. */
  @inline static end(x: i32, step: i32, n: i32, size: i32): i32 {
    return x < size ? min(n, (size - 1 - x) / step + 1) : 0;
  }

  /** `count` pixels. The last vector overlaps the one before it. */
  @inline static copy(to: usize, from: usize, count: i32): void {
    const end = to + (usize(count) << 2);
    const last = end - 16;
    if (count >= 4) {
      for (; to + 48 < last; to += 64, from += 64) {
        v128.store(to, v128.load(from));
        v128.store(to, v128.load(from, 16), 16);
        v128.store(to, v128.load(from, 32), 32);
        v128.store(to, v128.load(from, 48), 48);
      }
      for (; to < last; to += 16, from += 16) v128.store(to, v128.load(from));
      v128.store(last, v128.load(from - (to - last)));
    } else for (; to < end; to += 4, from += 4) f32.store(to, f32.load(from));
  }
}

/** A number of lines, each `there` bytes from the one before it and copied `here` bytes from where that one went. */
export class Block {
  private static here: usize = 0;
  private static there: usize = 0;
  private static lines: i32 = 0;

  /**
   * `count` pixels of each line, each `step` after the one before. Eight vectors of all lines at a time, the last ones overlapping
   * those before: a line has no loop of its own, whose end would be foreseen too seldom.
   */
  static copy(to: usize, here: usize, from: usize, there: usize, step: i32, count: i32, lines: i32): void {
    Block.here = here;
    Block.there = there;
    Block.lines = lines;
    if (count < 4 || step > 2) return Block.apart(to, from, usize(step) << 2, count);
    for (let j = 0; j < count; j += 32) {
      const k = usize(max(0, min(j, count - 32))) << 2;
      const some = min(count, 32);
      if (step == 1) Block.some<One>(to + k, from + k, some);
      else Block.some<Two>(to + k, from + 2 * k, some);
    }
  }
  private static some<S>(to: usize, from: usize, count: i32): void {
    const last = usize(count - 4) << 2;
    const n = (count + 3) >> 2;
    if (n == 8) Block.vectors<S, Eight>(to, from, last);
    else if (n == 7) Block.vectors<S, Seven>(to, from, last);
    else if (n == 6) Block.vectors<S, Six>(to, from, last);
    else if (n == 5) Block.vectors<S, Five>(to, from, last);
    else if (n == 4) Block.vectors<S, Four>(to, from, last);
    else if (n == 3) Block.vectors<S, Three>(to, from, last);
    else if (n == 2) Block.vectors<S, Two>(to, from, last);
    else Block.vectors<S, One>(to, from, last);
  }
  /** N vectors of each line in steps of S, the last one so many bytes from the first. */
  private static vectors<S, N>(to: usize, from: usize, last: usize): void {
    const n = changetype<N>(0).n();
    for (let k = Block.lines; k > 0; k--, to += Block.here, from += Block.there) {
      if (n > 1) Block.one<S>(to, from, 0);
      if (n > 2) Block.one<S>(to, from, 16);
      if (n > 3) Block.one<S>(to, from, 32);
      if (n > 4) Block.one<S>(to, from, 48);
      if (n > 5) Block.one<S>(to, from, 64);
      if (n > 6) Block.one<S>(to, from, 80);
      if (n > 7) Block.one<S>(to, from, 96);
      Block.one<S>(to, from, last);
    }
  }
  /** Four pixels. Of seven in steps of 2: an eighth may lie outside. */
  @inline private static one<S>(to: usize, from: usize, at: usize): void {
    if (changetype<S>(0).n() == 1) v128.store(to + at, v128.load(from + at));
    else {
      const x = from + 2 * at;
      v128.store(to + at, i32x4.shuffle(v128.load(x), v128.load(x, 12), 0, 2, 5, 7));
    }
  }
  private static apart(to: usize, from: usize, step: usize, count: i32): void {
    for (let k = Block.lines; k > 0; k--, to += Block.here, from += Block.there) {
      let x = from;
      for (let at = to, end = to + (usize(count) << 2); at < end; at += 4, x += step)
        f32.store(at, f32.load(x));
    }
  }
}
