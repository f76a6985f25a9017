// Strided copies of any number of dimensions by a kernel that knows four.
import { launch } from '../kernels/launch.js';
import type { Storage } from '../memory/storage.js';
import { collapse, type Shape } from '../tensor/shape.js';

/** Copies a box of `sizes` between two strided places; four dimensions in the kernel, any further ones in a loop here. */
export function launchCopy(
  to: Storage,
  toStart: number,
  from: Storage,
  fromStart: number,
  box: Shape,
  toStrides: number[],
  fromStrides: number[],
): void {
  const collapsed = collapse(box, [toStrides, fromStrides], 4);
  const outer = collapsed.sizes.length - 4;
  const order = loopsFirst(collapsed.sizes, outer);
  const [sizes, o, i] = [collapsed.sizes, ...collapsed.strides].map((list) => order.map((d) => list[d]!)) as [
    number[],
    number[],
    number[],
  ];
  const loops = sizes.slice(0, outer).reduce((n, d) => n * d, 1);
  const [toBase, fromBase] = [to.address(), from.address()];
  const width = to.width;
  for (let k = 0; k < loops; k++) {
    let [rest, a, b] = [k, toStart, fromStart];
    for (let d = outer - 1; d >= 0; d--) {
      const at = rest % sizes[d]!;
      rest = (rest - at) / sizes[d]!;
      a += at * o[d]!;
      b += at * i[d]!;
    }
    launch(
      'copy',
      toBase + a * width,
      fromBase + b * width,
      ...(sizes.slice(outer) as Four),
      ...(o.slice(outer) as Four),
      ...(i.slice(outer) as Four),
    );
  }
}
type Four = [number, number, number, number];

/** Dimensions with the `outer` smallest in front, the last one at its place: fewest calls for those that are looped over. */
function loopsFirst(sizes: readonly number[], outer: number): number[] {
  const all = sizes.map((_, k) => k);
  const looped = new Set(
    all
      .slice(0, -1)
      .sort((a, b) => sizes[a]! - sizes[b]!)
      .slice(0, outer),
  );
  return [...looped, ...all.filter((k) => !looped.has(k))];
}
