// The gradients that a sweep has so far. Slices of one tensor, as `split` makes them, are kept apart until the tensor's
// gradient is asked for and then laid side by side in one go, instead of each being padded to full size and added.
import { add, concat, pad, zeros } from '../ops/index.js';
import type { Piece } from '../tensor/op.js';
import type { Shape } from '../tensor/shape.js';
import { Tensor, type Node } from '../tensor/tensor.js';
import type { Leftovers } from './leftovers.js';

/** Gradients are kept by node for computed tensors and by tensor for leaves. */
export type Key = Node | Tensor;
export const keyOf = (t: Tensor): Key => t.node ?? t;

interface Entry {
  readonly shape: Shape;
  total: Tensor | null;
  /** Disjoint slices along one dimension, not yet in `total`. */
  pieces: Piece[];
}

export class Gradients {
  private readonly entries = new Map<Key, Entry>();

  /** `leftovers` is told which tensors are gradients. */
  constructor(private readonly leftovers: Leftovers) {}

  /** Adds to the gradient of x. */
  add(x: Tensor, g: Tensor | Piece): void {
    const key = keyOf(x);
    let entry = this.entries.get(key);
    if (!entry) this.entries.set(key, (entry = { shape: x.shape, total: null, pieces: [] }));
    if (g instanceof Tensor) {
      this.settle(entry);
      this.include(entry, g);
      return;
    }
    if (entry.pieces.some((other) => collide(other, g))) this.settle(entry);
    this.leftovers.hold(g.g);
    entry.pieces.push(g);
  }

  has(x: Tensor): boolean {
    return this.entries.has(keyOf(x));
  }

  /** The gradient as it stands; null if there is none. */
  get(key: Key): Tensor | null {
    const entry = this.entries.get(key);
    return entry ? this.settle(entry) : null;
  }

  /** The gradient that {@link get} gave goes; what is in it is needed until the leftovers are cleared. */
  delete(key: Key): void {
    const total = this.entries.get(key)?.total;
    if (total) this.leftovers.drop(total);
    this.entries.delete(key);
  }

  /** All of them. */
  finish(): Map<Key, Tensor> {
    return new Map([...this.entries].map(([key, entry]) => [key, this.settle(entry)]));
  }

  /** Brings the pieces into the total. */
  private settle(entry: Entry): Tensor {
    const { pieces, shape } = entry;
    if (pieces.length === 0) return entry.total!;
    entry.pieces = [];
    const g = pieces.length === 1 ? padded(pieces[0]!, shape) : joined(pieces, shape);
    for (const piece of pieces) this.leftovers.drop(piece.g);
    return this.include(entry, g);
  }

  private include(entry: Entry, g: Tensor): Tensor {
    const before = entry.total;
    entry.total = before ? add(before, g) : g;
    this.leftovers.hold(entry.total);
    if (before) this.leftovers.drop(before);
    return entry.total;
  }
}

const endOf = ({ g, dim, start }: Piece): number => start + g.shape[dim]!;

const collide = (a: Piece, b: Piece): boolean =>
  a.dim !== b.dim || (a.start < endOf(b) && b.start < endOf(a));

function padded(piece: Piece, shape: Shape): Tensor {
  const { g, dim, start } = piece;
  return pad(
    g,
    shape.map((d, k) => (k === dim ? [start, d - endOf(piece)] : [0, 0])),
  );
}

function joined(pieces: Piece[], shape: Shape): Tensor {
  const { dim } = pieces[0]!;
  const parts: Tensor[] = [];
  let at = 0;
  const fillTo = (end: number): void => {
    if (end > at) parts.push(zeros(shape.map((d, k) => (k === dim ? end - at : d))));
  };
  for (const piece of pieces.sort((a, b) => a.start - b.start)) {
    fillTo(piece.start);
    parts.push(piece.g);
    at = endOf(piece);
  }
  fillTo(shape[dim]!);
  return concat(parts, dim);
}
