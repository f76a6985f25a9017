// Free memory: intervals in the order of their addresses, neighbours merged. The lowest that is wide enough is handed out.

interface Interval {
  offset: number;
  bytes: number;
}

export class FreeList {
  private readonly intervals: Interval[] = [];

  /** The byte offset of `bytes` that are free no more, or -1 where no interval is wide enough. */
  take(bytes: number): number {
    const { intervals } = this;
    for (let k = 0; k < intervals.length; k++) {
      const one = intervals[k]!;
      if (one.bytes < bytes) continue;
      const { offset } = one;
      one.offset += bytes;
      one.bytes -= bytes;
      if (one.bytes === 0) intervals.splice(k, 1);
      return offset;
    }
    return -1;
  }

  /** Takes the bytes from `offset` on, where a free interval begins. False if too few are free there. */
  takeAt(offset: number, bytes: number): boolean {
    const { intervals } = this;
    const at = intervals.findIndex((one) => one.offset === offset);
    const found = intervals[at];
    if (!found || found.bytes < bytes) return false;
    found.offset += bytes;
    found.bytes -= bytes;
    if (found.bytes === 0) intervals.splice(at, 1);
    return true;
  }

  give(offset: number, bytes: number): void {
    const { intervals } = this;
    let at = intervals.length;
    while (at > 0 && intervals[at - 1]!.offset > offset) at--;
    const before = intervals[at - 1];
    const after = intervals[at];
    const joinsAfter = after !== undefined && after.offset === offset + bytes;
    if (before && before.offset + before.bytes === offset) {
      before.bytes += bytes;
      if (!joinsAfter) return;
      before.bytes += after.bytes;
      intervals.splice(at, 1);
    } else if (joinsAfter) {
      after.offset = offset;
      after.bytes += bytes;
    } else intervals.splice(at, 0, { offset, bytes });
  }

  /** How many free bytes end at `end`. */
  before(end: number): number {
    const last = this.intervals.at(-1);
    return last && last.offset + last.bytes === end ? last.bytes : 0;
  }

  clear(): void {
    this.intervals.length = 0;
  }
}
