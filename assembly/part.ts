// Which part of a call this instance computes, for kernels whose cuts their arguments cannot express: columns, channels and
// positions keep their strides. A kernel asks for its bounds; they never reach into how a single output is computed.

export class Part {
  static index: i32 = 0;
  static count: i32 = 1;

  /** The first of `n` units of the part, a multiple of `grain`. */
  @inline static from(n: i32, grain: i32): i32 {
    return Part.cut(n, grain, Part.index);
  }
  /** The first unit behind the part. */
  @inline static to(n: i32, grain: i32): i32 {
    return Part.cut(n, grain, Part.index + 1);
  }
  /**
   * Whether this call ends what parts began: the whole call does, and the one that comes after the parts where a row's
   * `split` says so. It has no units of its own.
   */
  @inline static ends(): bool {
    return Part.count == 1 || Part.index == Part.count;
  }
  /**
   * Whether unit `k` is the part's, where units come in any order and some again and again: neighbours go to different
   * parts (Fibonacci hashing), as the commonest words of a vocabulary stand side by side.
   */
  @inline static owns(k: usize): bool {
    return (((u32(k) * u32(0x9e3779b1)) >> 16) * u32(Part.count)) >> 16 == u32(Part.index);
  }
  private static cut(n: i32, grain: i32, at: i32): i32 {
    if (at >= Part.count) return n;
    const units = i32((i64(n) * i64(at)) / i64(Part.count));
    return units - (units % grain);
  }
}

/** The calls that follow compute part `index` of `count`; 0 of 1 is all, `count` of `count` what is left to do after the parts. */
export function usePart(index: i32, count: i32): void {
  Part.index = index;
  Part.count = count;
}
