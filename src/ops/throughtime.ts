// The walk of a recurrent layer through time, in launches: forwards in one, and back (Werbos, 1990: backpropagation through
// time) in spans of about SPAN rows of the batch: what is wanted of all rows of a span, the gradients by inputs and weights,
// are single products, and what lies between them stays in the second cache.
import { launch } from '../kernels/launch.js';
import { Storage } from '../memory/storage.js';
import type { Shape } from '../tensor/shape.js';
import { blank, type Tensor } from '../tensor/tensor.js';
import type { Cell, WalkSizes } from './cells.js';
import { launchCopy } from './copy.js';

export interface Attrs {
  reverse: boolean;
  /** Whether biases of the products with x and with h are among the inputs. */
  biases: readonly [boolean, boolean];
  /** What the cells saved for their backward steps, by time. */
  saved?: Storage;
  /** Cell states in the order of time, that before the first step next to the first step's. */
  cells?: Storage;
}

/** The inputs of a layer, or what belongs to each of them. */
export interface Parts<T> {
  /** [time, batch, inputs] */
  x: T;
  /** [blocks · hidden, inputs] */
  wx: T;
  /** [blocks · hidden, hidden] */
  wh: T;
  /** [batch, hidden] */
  h: T;
  c?: T;
  /** [blocks · hidden] */
  bx?: T;
  bh?: T;
}

/** Inputs in their order: x, wx, wh, h, then c, bx and bh where there are such. */
export function unpack<T>(cell: Cell, a: Attrs, all: readonly T[]): Parts<T> {
  const [x, wx, wh, h, ...rest] = all as [T, T, T, T, ...T[]];
  const next = (there: boolean): T | undefined => (there ? rest.shift() : undefined);
  return { x, wx, wh, h, c: next(cell.cells), bx: next(a.biases[0]), bh: next(a.biases[1]) } as Parts<T>;
}

/**
 * Rows of a span: as deep as the products' blocks are, so the gradients by the weights lose nothing by going span by span.
 * On an LSTM of 2 × 128, 32 steps, batch 32, spans save a tenth of the step over products of all rows.
 */
const SPAN = 256;

/**
 * Where things stand. The result has the hidden states in the order of time, the one before the first step next to the
 * first step's, and the last cell state at the other end: [h0, h1 … hT, cT], or [cT, … h0] in reverse. So the states that
 * the products read lie in one run, in the order of the steps' inputs.
 */
export class Layout {
  readonly time: number;
  readonly batch: number;
  readonly hidden: number;
  /** Elements of a state. */
  readonly state: number;
  private readonly first: number;
  private readonly way: 1 | -1;

  constructor(
    cell: Cell,
    [time, batch]: Shape,
    [, hidden]: Shape,
    readonly reverse: boolean,
  ) {
    this.time = time!;
    this.batch = batch!;
    this.hidden = hidden!;
    this.state = this.batch * this.hidden;
    this.first = !reverse || cell.cells ? 1 : 0;
    this.way = reverse ? -1 : 1;
  }

  /** Time of step k. */
  at(k: number): number {
    return this.reverse ? this.time - 1 - k : k;
  }
  /** Row of the hidden state after step k; -1 for the start. */
  row(k: number): number {
    return this.first + this.at(k);
  }
  /** Row of the last cell state. */
  get cellRow(): number {
    return this.row(this.time - 1) + this.way;
  }
  get outputs(): number {
    return this.first;
  }
  /** Row of the hidden states' first in the order of time, which is the start or, in reverse, the end of the walk. */
  get states(): number {
    return this.reverse ? this.first : this.first - 1;
  }
  /** Among states in the order of time: where the walk starts, and where it ends. */
  get ends(): [start: number, end: number] {
    return this.reverse ? [this.time, 0] : [0, this.time];
  }
  sizes(steps: number): WalkSizes {
    return { time: steps, batch: this.batch, hidden: this.hidden, reverse: this.reverse ? 1 : 0 };
  }
  /** Steps in the order of the walk, in spans. */
  spans(): Span[] {
    const steps = Math.max(1, Math.floor(SPAN / Math.max(1, this.batch)));
    const count = Math.ceil(this.time / steps);
    return Array.from(
      { length: count },
      (_, k) => new Span(this, k * steps, Math.min(this.time, (k + 1) * steps)),
    );
  }
}

/** Steps from..to, whose times are neighbours. */
class Span {
  readonly steps: number;
  readonly rows: number;
  /** The earliest time. */
  readonly start: number;
  constructor(
    layout: Layout,
    readonly from: number,
    to: number,
  ) {
    this.steps = to - from;
    this.rows = this.steps * layout.batch;
    this.start = Math.min(layout.at(from), layout.at(to - 1));
  }
}

/** The address of an element. The width is the storage's: what is staged takes it over. */
const place = (storage: Storage, elements: number): number => storage.address() + elements * storage.width;

const addressOf = (t: Tensor | undefined): number => t?.storage.address() ?? 0;

/** [rows, cols] from [cols, rows]. */
function turned(w: Tensor): Storage {
  const [cols, rows] = w.shape as [number, number];
  const out = Storage.inScope(w.size);
  launchCopy(out, 0, w.storage, 0, [rows, cols], [cols, 1], [1, rows]);
  return out;
}

const copyState = (to: Storage, toStart: number, from: Storage, fromStart: number, n: number): void =>
  launchCopy(to, toStart, from, fromStart, [n], [1], [1]);

/** Writes all states into y; returns what `a` keeps for the way back. */
export function throughTime(cell: Cell, y: Tensor, xs: readonly Tensor[], a: Attrs): Storage[] {
  const { x, wx, wh, h, c, bx, bh } = unpack(cell, a, xs);
  const at = new Layout(cell, x.shape, wh.shape, a.reverse);
  const { time, state } = at;
  a.saved = Storage.inScope(4 * time * state);
  a.cells = Storage.inScope(cell.cells ? (time + 1) * state : 1);
  const [start, end] = at.ends;
  copyState(y.storage, at.row(-1) * state, h.storage, 0, state);
  if (c) copyState(a.cells, start * state, c.storage, 0, state);
  cell.run(
    {
      h: place(y.storage, at.states * state),
      c: a.cells.address(),
      gates: a.saved.address(),
      x: x.storage.address(),
      wx: turned(wx).address(),
      wh: turned(wh).address(),
      bx: addressOf(bx),
      bh: addressOf(bh),
    },
    at.sizes(time),
    wx.shape[1]!,
  );
  if (c) copyState(y.storage, at.cellRow * state, a.cells, end * state, state);
  return [a.saved, a.cells];
}

/** A gradient by rows of weights that grows span by span, or nothing where none is wanted. */
class WeightGrad {
  readonly grad: Tensor | null;
  private begun = false;
  constructor(w: Tensor) {
    this.grad = w.requiresGrad ? blank(w.shape) : null;
  }
  /** Adds the product of a span's gradients [rows, wide], transposed, with what went into the products, [rows, inputs]. */
  add(gProduct: number, into: number, rows: number): void {
    if (!this.grad) return;
    const [m, n] = this.grad.shape as [number, number];
    const o = this.grad.storage.address();
    launch('sgemm', o, gProduct, into, m, n, rows, 1, 0, m, n, n, 1, this.begun ? 1 : 0);
    this.begun = true;
  }
}

/** A gradient by a bias: the sum of the sums of all spans. */
class BiasGrad {
  private readonly sums: Storage | null;
  private done = 0;
  constructor(
    private readonly bias: Tensor | undefined,
    private readonly spans: number,
  ) {
    this.sums = bias?.requiresGrad ? Storage.inScope(spans * bias.size) : null;
  }
  add(gProduct: number, rows: number): void {
    if (!this.sums) return;
    const wide = this.bias!.size;
    launch('sum', place(this.sums, this.done++ * wide), gProduct, 1, rows, wide);
  }
  total(): Tensor | null {
    if (!this.sums) return null;
    const total = blank(this.bias!.shape);
    launch('sum', total.storage.address(), this.sums.address(), 1, this.spans, this.bias!.size);
    return total;
  }
}

/** What a walk back fills: what is kept of a span, what goes from step to step, and the gradients. */
class WayBack {
  private readonly at: Layout;
  private readonly in: Parts<Tensor>;
  private readonly wide: number;
  private readonly byX: Storage;
  private readonly byProduct: Storage;
  private readonly gh: Tensor;
  private readonly carried: Tensor;
  private readonly gx: Tensor | null;
  private readonly weights: readonly [WeightGrad, WeightGrad];
  private readonly biases: readonly [BiasGrad, BiasGrad];

  constructor(
    private readonly cell: Cell,
    private readonly g: Tensor,
    private readonly y: Tensor,
    xs: readonly Tensor[],
    private readonly a: Attrs,
  ) {
    const { x, wx, wh, h, bx, bh } = (this.in = unpack(cell, a, xs));
    const at = (this.at = new Layout(cell, x.shape, wh.shape, a.reverse));
    this.wide = wx.shape[0]!;
    const spans = at.spans();
    const kept = spans[0]!.rows * this.wide;
    this.byX = Storage.inScope(kept);
    this.byProduct = cell.cells ? this.byX : Storage.inScope(kept);
    this.gh = blank(h.shape);
    this.carried = blank(h.shape);
    this.gx = x.requiresGrad ? blank(x.shape) : null;
    this.weights = [new WeightGrad(wx), new WeightGrad(wh)];
    this.biases = [new BiasGrad(bx, spans.length), new BiasGrad(bh, spans.length)];
    launch('fill', this.gh.storage.address(), 0, at.state);
    if (cell.cells) copyState(this.carried.storage, 0, g.storage, at.cellRow * at.state, at.state);
    else launch('fill', this.carried.storage.address(), 0, at.state);
    for (const span of spans.reverse()) {
      this.steps(span);
      this.rows(span);
    }
  }

  /** The gradients by the products of a span's steps, and what they pass on to the step before. */
  private steps({ from, start, steps }: Span): void {
    const { at, cell, a, y } = this;
    const { wh, h } = this.in;
    cell.runGrad(
      {
        gx: this.byX.address(),
        gProduct: this.byProduct.address(),
        gh: this.gh.storage.address(),
        carried: this.carried.storage.address(),
        gy: place(this.g.storage, (at.outputs + start) * at.state),
        gates: place(a.saved!, 4 * start * at.state),
        states: cell.cells ? place(a.cells!, start * at.state) : this.states(y, start),
        wh: wh.storage.address(),
      },
      at.sizes(steps),
      from > 0 || h.requiresGrad ? 1 : 0,
    );
  }

  /** Hidden states in the order of time from the k-th on. */
  private states(y: Tensor, k: number): number {
    return place(y.storage, (this.at.states + k) * this.at.state);
  }

  /** What is wanted of all rows of a span. */
  private rows({ start, rows }: Span): void {
    const { at, gx, wide } = this;
    const { x, wx } = this.in;
    const [byX, byProduct] = [this.byX.address(), this.byProduct.address()];
    const inputs = wx.shape[1]!;
    const input = start * at.batch * inputs;
    if (gx) {
      const [o, w] = [place(gx.storage, input), wx.storage.address()];
      launch('matmul', o, byX, w, 0, 0, 1, rows, inputs, wide, 0, 0, wide, inputs, inputs, 0, 0, 0, 0);
    }
    this.weights[0].add(byX, place(x.storage, input), rows);
    this.weights[1].add(byProduct, this.states(this.y, at.reverse ? start + 1 : start), rows);
    this.biases[0].add(byX, rows);
    this.biases[1].add(byProduct, rows);
  }

  grads(): Parts<Tensor | null> {
    const [wx, wh] = this.weights.map((w) => w.grad) as [Tensor, Tensor];
    const [bx, bh] = this.biases.map((b) => b.total()) as [Tensor, Tensor];
    return { x: this.gx, wx, wh, h: this.gh, c: this.carried, bx, bh };
  }
}

/**
 * Gradients by the inputs of a layer from that by its result; null by weights, biases and x that need none. That by h is the
 * part that came through the first product, that by c (in a layer without: by h) the part that was carried past it.
 */
export const backThroughTime = (
  cell: Cell,
  g: Tensor,
  y: Tensor,
  xs: readonly Tensor[],
  a: Attrs,
): Parts<Tensor | null> => new WayBack(cell, g, y, xs, a).grads();
