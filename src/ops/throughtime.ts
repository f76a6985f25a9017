// The walk of a recurrent layer through time, in launches: forwards, and back (Werbos, 1990: backpropagation through time).
// Steps go in spans of about SPAN rows of the batch: what is wanted of all rows of a span, products with inputs and the
// gradients by weights, are single products, and what lies between them stays in the second cache.
import { launch } from '../kernels/launch.js';
import { Storage } from '../memory/storage.js';
import type { Shape } from '../tensor/shape.js';
import { blank, type Tensor } from '../tensor/tensor.js';
import type { Cell, StepPlaces } from './cells.js';
import { launchCopy } from './copy.js';

export interface Attrs {
  reverse: boolean;
  /** Whether biases of the products with x and with h are among the inputs. */
  biases: readonly [boolean, boolean];
  /** What the cells saved for their backward steps, by time. */
  saved?: Storage;
  /** Cell states after each step but the last, in the order of the steps. */
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
  /** Elements of a state, and of a product. */
  readonly state: number;
  readonly product: number;
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
    this.product = this.state * cell.blocks;
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
  readonly rows: number;
  /** The earliest time. */
  readonly start: number;
  constructor(
    private readonly layout: Layout,
    readonly from: number,
    readonly to: number,
  ) {
    this.rows = (to - from) * layout.batch;
    this.start = Math.min(layout.at(from), layout.at(to - 1));
  }
  /** Place of a step in what is kept for a span. */
  place(k: number): number {
    return this.layout.at(k) - this.start;
  }
  /** Row of the first of the hidden states that the steps start from, in the order of time. */
  get before(): number {
    return Math.min(this.layout.row(this.from - 1), this.layout.row(this.to - 2));
  }
}

/** Addresses of rows and steps in the tensors of one run. */
class Places {
  constructor(
    readonly at: Layout,
    private readonly y: Tensor,
    private readonly c: Tensor | undefined,
    private readonly a: Attrs,
  ) {}

  /** The width is the result's: what is staged takes it over. */
  of(storage: Storage, elements: number): number {
    return storage.address() + elements * this.y.storage.width;
  }
  row(k: number): number {
    return this.of(this.y.storage, k * this.at.state);
  }
  /** Hidden state after step k; that before the first step for -1. */
  h(k: number): number {
    return this.row(this.at.row(k));
  }
  /** Cell state after step k. */
  private cell(k: number): number {
    const { state, time, cellRow } = this.at;
    if (!this.c) return 0;
    if (k < 0) return this.c.storage.address();
    return k < time - 1 ? this.of(this.a.cells!, k * state) : this.of(this.y.storage, cellRow * state);
  }
  /** What both directions of step k read or write. */
  step(k: number): Pick<StepPlaces, 'c' | 'saved' | 'hBefore' | 'cBefore'> {
    const saved = this.of(this.a.saved!, 4 * this.at.at(k) * this.at.state);
    return { c: this.cell(k), saved, hBefore: this.h(k - 1), cBefore: this.cell(k - 1) };
  }
}

/** m × n product of an m × k matrix with a k × n one, transposed or not, all dense. */
function product(
  o: number,
  a: number,
  b: number,
  bias: number,
  m: number,
  n: number,
  k: number,
  tb: 0 | 1 = 0,
): void {
  launch('matmul', o, a, b, bias, 0, 1, m, n, k, 0, tb, k, tb ? k : n, n, 0, 0, 0, 0);
}

const addressOf = (t: Tensor | undefined): number => t?.storage.address() ?? 0;

/** Writes all states into y; returns what `a` keeps for the way back. */
export function throughTime(cell: Cell, y: Tensor, xs: readonly Tensor[], a: Attrs): Storage[] {
  const { x, wx, wh, h, c, bx, bh } = unpack(cell, a, xs);
  const at = new Layout(cell, x.shape, wh.shape, a.reverse);
  const [wide, inputs] = wx.shape as [number, number];
  a.saved = Storage.inScope(4 * at.time * at.state);
  a.cells = Storage.inScope(cell.cells ? Math.max(1, (at.time - 1) * at.state) : 1);
  const places = new Places(at, y, c, a);
  const spans = at.spans();
  const [fromX, fromH] = [Storage.inScope(spans[0]!.rows * wide), Storage.inScope(at.product)];
  // Laid out once for all steps, so that no product has to.
  const turned = Storage.inScope(wh.size);
  launchCopy(turned, 0, wh.storage, 0, [at.hidden, wide], [wide, 1], [1, at.hidden]);
  launchCopy(y.storage, at.row(-1) * at.state, h.storage, 0, [at.state], [1], [1]);
  for (const span of spans) {
    const input = places.of(x.storage, span.start * at.batch * inputs);
    product(fromX.address(), input, wx.storage.address(), addressOf(bx), span.rows, wide, inputs, 1);
    for (let k = span.from; k < span.to; k++) {
      const step = places.step(k);
      product(fromH.address(), step.hBefore, turned.address(), addressOf(bh), at.batch, wide, at.hidden);
      const own = places.of(fromX, span.place(k) * at.product);
      cell.run({ ...step, h: places.h(k), x: own, product: fromH.address() }, at.batch, at.hidden);
    }
  }
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
  add(places: Places, gProduct: number, rows: number): void {
    if (!this.sums) return;
    const wide = this.bias!.size;
    launch('sum', places.of(this.sums, this.done++ * wide), gProduct, 1, rows, wide);
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
  private readonly places: Places;
  private readonly in: Parts<Tensor>;
  private readonly wide: number;
  private readonly byX: Storage;
  private readonly byProduct: Storage;
  private readonly gh: Tensor;
  private readonly carried: readonly [Tensor, Tensor];
  private readonly gx: Tensor | null;
  private readonly weights: readonly [WeightGrad, WeightGrad];
  private readonly biases: readonly [BiasGrad, BiasGrad];

  constructor(
    private readonly cell: Cell,
    private readonly g: Tensor,
    y: Tensor,
    xs: readonly Tensor[],
    a: Attrs,
  ) {
    const { x, wx, wh, h, c, bx, bh } = (this.in = unpack(cell, a, xs));
    this.at = new Layout(cell, x.shape, wh.shape, a.reverse);
    this.places = new Places(this.at, y, c, a);
    this.wide = wx.shape[0]!;
    const spans = this.at.spans();
    const kept = spans[0]!.rows * this.wide;
    this.byX = Storage.inScope(kept);
    this.byProduct = cell.cells ? this.byX : Storage.inScope(kept);
    this.gh = blank(h.shape);
    this.carried = [blank(h.shape), blank(h.shape)];
    this.gx = x.requiresGrad ? blank(x.shape) : null;
    this.weights = [new WeightGrad(wx), new WeightGrad(wh)];
    this.biases = [new BiasGrad(bx, spans.length), new BiasGrad(bh, spans.length)];
    for (const span of spans.reverse()) {
      for (let k = span.to - 1; k >= span.from; k--) this.step(k, span.place(k) * this.at.product);
      this.rows(span);
    }
  }

  /** The gradients by the products of step k, at a place among the span's, and what they pass on to the step before. */
  private step(k: number, place: number): void {
    const { at, places, carried, gh } = this;
    const { batch, hidden } = at;
    const last = k === at.time - 1;
    const lastCarry = this.cell.cells ? places.of(this.g.storage, at.cellRow * at.state) : 0;
    const gProduct = places.of(this.byProduct, place);
    this.cell.runGrad(
      {
        ...places.step(k),
        gx: places.of(this.byX, place),
        gProduct,
        carried: carried[k % 2]!.storage.address(),
        gy: places.of(this.g.storage, at.row(k) * at.state),
        gh: last ? 0 : gh.storage.address(),
        carry: last ? lastCarry : carried[(k + 1) % 2]!.storage.address(),
      },
      batch,
      hidden,
    );
    if (k > 0 || this.in.h.requiresGrad)
      product(gh.storage.address(), gProduct, addressOf(this.in.wh), 0, batch, hidden, this.wide);
  }

  /** What is wanted of all rows of a span. */
  private rows({ start, rows, before }: Span): void {
    const { at, places, gx, wide } = this;
    const { x, wx } = this.in;
    const [byX, byProduct] = [this.byX.address(), this.byProduct.address()];
    const inputs = wx.shape[1]!;
    const input = start * at.batch * inputs;
    if (gx) product(places.of(gx.storage, input), byX, addressOf(wx), 0, rows, inputs, wide);
    this.weights[0].add(byX, places.of(x.storage, input), rows);
    this.weights[1].add(byProduct, places.row(before), rows);
    this.biases[0].add(places, byX, rows);
    this.biases[1].add(places, byProduct, rows);
  }

  grads(): Parts<Tensor | null> {
    const [wx, wh] = this.weights.map((w) => w.grad) as [Tensor, Tensor];
    const [bx, bh] = this.biases.map((b) => b.total()) as [Tensor, Tensor];
    return { x: this.gx, wx, wh, h: this.gh, c: this.carried[0], bx, bh };
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
