// Reductions of a whole run: what each leaf comes to is written down, and the leaves are put together in their order. So
// the result depends on the run's length alone, and not on how many parts a call has. Three megabytes have room for the
// leaves of any heap, two doubles each.
import { Part } from './part';
import { Double, Plain, Run } from './runs';
import { Scratch } from './scratch';

const LEAF: i32 = 4096;

/** Where the leaves of this call stand: a whole call may be one of several on threads of a recorded step. */
function place(): usize {
  return Part.count == 1 ? Scratch.a() : Scratch.common();
}

// How a leaf is reduced: `of(a, b, n)`, of n elements at the addresses a and b.

@final
@unmanaged
export class Added {
  @inline of(a: usize, b: usize, n: i32): f64 {
    return Run.block<Plain>(a, b, usize(n) << 2, 0);
  }
}
@final
@unmanaged
export class Multiplied {
  @inline of(a: usize, b: usize, n: i32): f64 {
    return Double.dot(a, b, n);
  }
}

export class Leaves {
  static count(n: i32): i32 {
    return (n + LEAF - 1) / LEAF;
  }
  /** The first leaf of this part, and the one behind its last. */
  @inline static from(n: i32): i32 {
    return Part.from(Leaves.count(n), 1);
  }
  @inline static to(n: i32): i32 {
    return Part.to(Leaves.count(n), 1);
  }
  /** Where leaf k begins, in elements, and how many it has. */
  @inline static start(k: i32): i32 {
    return k * LEAF;
  }
  @inline static length(k: i32, n: i32): i32 {
    return min(LEAF, n - k * LEAF);
  }
  /** Quantity `q` of leaf k, of two. */
  @inline static put(k: i32, q: i32, value: f64): void {
    f64.store(place() + (usize(2 * k + q) << 3), value);
  }
  @inline static get(k: i32, q: i32): f64 {
    return f64.load(place() + (usize(2 * k + q) << 3));
  }
  /** The sum of quantity `q` over all leaves. */
  static total(q: i32, n: i32): f64 {
    const leaves = Leaves.count(n);
    let sum: f64 = 0;
    for (let k = 0; k < leaves; k++) sum += Leaves.get(k, q);
    return sum;
  }
  /** Reduces the leaves of this part by F; where the call ends, returns the sum of all. */
  static sum<F>(a: usize, b: usize, n: i32): f64 {
    const f = changetype<F>(0);
    const last = Leaves.to(n);
    for (let k = Leaves.from(n); k < last; k++) {
      const at = usize(Leaves.start(k)) << 2;
      Leaves.put(k, 0, f.of(a + at, b + at, Leaves.length(k, n)));
    }
    return Part.ends() ? Leaves.total(0, n) : 0;
  }
}
