// Memory that kernels write besides their outputs: packing buffers and spare lines. All of it lies in one region of 4 MiB
// that belongs to this instance, so instances on other threads, each with its own region, do not meet.

/** The first instance's region starts after the first page, which holds the constants. */
const FIRST: usize = 65536;
let start: usize = FIRST;

/** Bytes that a convolution may pack of A: what follows B's megabyte, but for the small buffers at the end. */
export const CAPACITY: usize = (3 << 20) - 4096;

/** Moves the region: an instance on another thread calls this first, with 4 MiB of its own. */
export function useScratch(at: usize): void {
  start = at;
}

export class Scratch {
  /** 1 MiB: panels of B, or a vector. */
  @inline static b(): usize {
    return start;
  }
  /** 3 MiB: rows of A. */
  @inline static a(): usize {
    return start + (1 << 20);
  }
  /** The first instance's 3 MiB, which all instances reach: where parts of its calls leave what it adds up. */
  @inline static common(): usize {
    return FIRST + (1 << 20);
  }
  /** 2 MiB - 4 KiB that matrix products leave alone: they use the first megabyte of A's three. */
  @inline static spare(): usize {
    return start + (2 << 20);
  }
  /** Convolutions pack one panel of B at a time, at most 1024 deep, so the rest of B's megabyte holds their tables. */
  @inline static tables(): usize {
    return start + (1 << 17);
  }
  /** A 2 × 16 tile for outputs that are narrower, and a row for the one that an odd height lacks. */
  @inline static tile(): usize {
    return start + CAPACITY + (1 << 20);
  }
  /** A 6 × 16 tile. */
  @inline static tall(): usize {
    return Scratch.tile() + 1024;
  }
  /** The bias of a last, narrower panel, filled up. */
  @inline static bias(): usize {
    return Scratch.tile() + 192;
  }
  /** Sizes, output strides and input strides of a copy, four each. */
  @inline static box(): usize {
    return Scratch.tile() + 256;
  }
  /** Key pairs of Philox's ten rounds, then the stream. */
  @inline static keys(): usize {
    return Scratch.tile() + 320;
  }
  /** The four words of four Philox blocks. */
  @inline static block(): usize {
    return Scratch.tile() + 448;
  }
  /** The last random numbers, when fewer than sixteen are wanted. */
  @inline static tail(): usize {
    return Scratch.tile() + 512;
  }
}
