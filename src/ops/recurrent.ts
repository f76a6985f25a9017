// Recurrent layers: one layer in one direction, through all of time, is one op. A step launches a product and a cell
// kernel forwards, and the same backwards; the gradient of the weight is a single product over all steps.
import { launch } from '../kernels/launch.js';
import { Storage } from '../memory/storage.js';
import { shapeError, showShape } from '../tensor/errors.js';
import { apply, define, type InputGrad, type Op, type OpRow } from '../tensor/op.js';
import { sameShape, type Shape } from '../tensor/shape.js';
import { asTensor, blank, type Tensor, type TensorLike } from '../tensor/tensor.js';
import { gruCell, lstmCell, type Cell, type StepPlaces } from './cells.js';
import { launchCopy } from './copy.js';
import { concat, stack } from './join.js';
import { linear, matmul } from './matmul.js';
import { narrow, reshape, transpose } from './move.js';
import { add } from './pointwise.js';
import { sum } from './reduce.js';

interface Attrs {
  reverse: boolean;
  /** What the cells saved for their backward steps, by time. */
  saved?: Storage;
  /** Cell states after each step but the last, in the order of the steps. */
  cells?: Storage;
}

/**
 * Where things stand. The result has the hidden states in the order of time, the one before the first step next to the
 * first step's, and the last cell state at the other end: [h0, h1 … hT, cT], or [cT, … h0] in reverse. So the states that
 * the products read lie in one run, in the order of the steps' inputs.
 */
class Layout {
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
    [time, batch, width]: Shape,
    readonly reverse: boolean,
  ) {
    this.time = time!;
    this.batch = batch!;
    this.hidden = width! / cell.blocks;
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
  /** First of the rows of states that steps start from. */
  get before(): number {
    return this.reverse ? this.first + 1 : 0;
  }
  get outputs(): number {
    return this.first;
  }
}

/** Inputs: products with x [time, batch, blocks · hidden], weight [blocks · hidden, hidden], h, c where there is one, bias or not. */
function unpack(
  cell: Cell,
  xs: readonly Tensor[],
): [x: Tensor, w: Tensor, h: Tensor, c?: Tensor, bias?: Tensor] {
  const [x, w, h, ...rest] = xs as [Tensor, Tensor, Tensor, ...Tensor[]];
  return cell.cells ? [x, w, h, rest[0], rest[1]] : [x, w, h, undefined, rest[0]];
}

/** m × n product of an m × k matrix, transposed or not, with a k × n one, all dense. */
function product(
  o: number,
  a: number,
  b: number,
  bias: number,
  m: number,
  n: number,
  k: number,
  ta = 0,
): void {
  launch('matmul', o, a, b, bias, 1, m, n, k, ta, 0, ta ? m : k, n, n, 0, 0, 0, 0);
}

/** Addresses of rows and steps in the tensors of one run. */
class Places {
  readonly at: Layout;
  readonly wide: number;
  constructor(
    private readonly cell: Cell,
    private readonly y: Tensor,
    private readonly xs: readonly Tensor[],
    private readonly a: Attrs,
  ) {
    this.at = new Layout(cell, xs[0]!.shape, a.reverse);
    this.wide = cell.blocks * this.at.hidden;
  }

  /** The width is the result's: what is staged takes it over. */
  of(storage: Storage, elements: number): number {
    return storage.address() + elements * this.y.storage.width;
  }
  /** Hidden state after step k; that before the first step for -1. */
  h(k: number): number {
    return this.of(this.y.storage, this.at.row(k) * this.at.state);
  }
  /** Cell state after step k. */
  private c(k: number): number {
    const { state, time, cellRow } = this.at;
    if (!this.cell.cells) return 0;
    if (k < 0) return this.xs[3]!.storage.address();
    return k < time - 1 ? this.of(this.a.cells!, k * state) : this.of(this.y.storage, cellRow * state);
  }
  /** What both directions of step k read or write. */
  step(k: number): Pick<StepPlaces, 'c' | 'saved' | 'hBefore' | 'cBefore'> {
    const saved = this.of(this.a.saved!, 4 * this.at.at(k) * this.at.state);
    return { c: this.c(k), saved, hBefore: this.h(k - 1), cBefore: this.c(k - 1) };
  }
}

function forward(cell: Cell, y: Tensor, xs: readonly Tensor[], a: Attrs): Storage[] {
  const [x, w, h, , bias] = unpack(cell, xs);
  const places = new Places(cell, y, xs, a);
  const { at, wide } = places;
  a.saved = Storage.inScope(4 * at.time * at.state);
  a.cells = Storage.inScope(cell.cells ? Math.max(1, (at.time - 1) * at.state) : 1);
  const [turned, from] = [Storage.inScope(w.size), Storage.inScope(at.product)];
  // Laid out once for all steps, so that no product has to.
  launchCopy(turned, 0, w.storage, 0, [at.hidden, wide], [wide, 1], [1, at.hidden]);
  launchCopy(y.storage, at.row(-1) * at.state, h.storage, 0, [at.state], [1], [1]);
  for (let k = 0; k < at.time; k++) {
    const step = places.step(k);
    const added = bias ? bias.storage.address() : 0;
    product(from.address(), step.hBefore, turned.address(), added, at.batch, wide, at.hidden);
    const xAt = places.of(x.storage, at.at(k) * at.product);
    cell.run({ ...step, h: places.h(k), x: xAt, product: from.address() }, at.batch, at.hidden);
  }
  return [a.saved, a.cells];
}

/** Gradients by the products, [time, batch, blocks · hidden], by the hidden state but for its product, by the cell state. */
interface Backward {
  gx: Tensor;
  gProduct: Tensor;
  carried: Tensor;
}

function runBack(cell: Cell, g: Tensor, y: Tensor, xs: readonly Tensor[], a: Attrs): Backward {
  const places = new Places(cell, y, xs, a);
  const { at, wide } = places;
  const gx = blank(xs[0]!.shape);
  const gProduct = cell.cells ? gx : blank(gx.shape);
  const gh = Storage.inScope(at.state);
  const first = [1, at.batch, at.hidden];
  const carried = [blank(first), blank(first)];
  for (let k = at.time - 1; k >= 0; k--) {
    const last = k === at.time - 1;
    const lastCarry = cell.cells ? places.of(g.storage, at.cellRow * at.state) : 0;
    const products = at.at(k) * at.product;
    cell.runGrad(
      {
        ...places.step(k),
        gx: places.of(gx.storage, products),
        gProduct: places.of(gProduct.storage, products),
        carried: carried[k % 2]!.storage.address(),
        gy: places.of(g.storage, at.row(k) * at.state),
        gh: last ? 0 : gh.address(),
        carry: last ? lastCarry : carried[(k + 1) % 2]!.storage.address(),
      },
      at.batch,
      at.hidden,
    );
    if (k > 0)
      product(
        gh.address(),
        places.of(gProduct.storage, products),
        xs[1]!.storage.address(),
        0,
        at.batch,
        at.hidden,
        wide,
      );
  }
  return { gx, gProduct, carried: carried[0]! };
}

/** The gradient of the weight: one product over all steps, of gradients by products with the states that went into them. */
function weightGrad(at: Layout, gProduct: Tensor, y: Tensor, w: Tensor): Tensor {
  const gw = blank(w.shape);
  const states = y.storage.address() + at.before * at.state * y.storage.width;
  const [wide, hidden] = w.shape as [number, number];
  product(gw.storage.address(), gProduct.storage.address(), states, 0, wide, hidden, at.time * at.batch, 1);
  return gw;
}

const rowAt = (t: Tensor, k: number): Tensor => reshape(narrow(t, 0, k, 1), t.shape.slice(1));

/** The gradients of the inputs, in ops: the layer is run again step by step, and back. */
function backInOps(cell: Cell, g: Tensor, xs: readonly Tensor[], a: Attrs): InputGrad[] {
  const [x, w, h, c, bias] = unpack(cell, xs);
  const at = new Layout(cell, x.shape, a.reverse);
  let state = c ? [h, c] : [h];
  const before: Tensor[] = [];
  const steps = Array.from({ length: at.time }, (_, k) => {
    before.push(state[0]!);
    const step = cell.step(rowAt(x, at.at(k)), linear(state[0]!, w, bias ?? null), state);
    state = step.state;
    return step.saved;
  });
  let gh: Tensor | null = null;
  let carry = cell.cells ? rowAt(g, at.cellRow) : null;
  const gxs: Tensor[] = [];
  const gProducts: Tensor[] = [];
  for (let k = at.time - 1; k >= 0; k--) {
    const own = rowAt(g, at.row(k));
    const [gx, gp, carried] = cell.back(gh ? add(own, gh) : own, carry, steps[k]!);
    gxs[at.at(k)] = gx;
    gProducts.push(gp);
    gh = matmul(gp, w);
    carry = carried;
  }
  const all = concat(gProducts.reverse(), 0);
  const gStart = add(gh!, rowAt(g, at.row(-1)));
  const gw = (): Tensor => matmul(transpose(all), concat(before, 0));
  return inputGrads(cell, stack(gxs, 0), gw, cell.cells ? gStart : add(gStart, carry!), carry!, () =>
    sum(all, 0),
  );
}

/** Gradients in the order of the inputs. */
const inputGrads = (
  cell: Cell,
  gx: Tensor,
  gw: () => Tensor,
  gh: Tensor | (() => Tensor),
  gc: Tensor,
  gBias: () => Tensor,
): InputGrad[] => (cell.cells ? [gx, gw, gh, gc, gBias] : [gx, gw, gh, gBias]);

function rowOf(name: string, cell: Cell): OpRow<Attrs> {
  return {
    name,
    shape: ([x, , h]) => [x![0]! + (cell.cells ? 2 : 1), ...h!],
    forward: (y, xs, a) => forward(cell, y, xs, a),
    vjp: (g, _y, xs, a) => backInOps(cell, g, xs, a),
    vjpFused: (g, y, xs, a) => {
      if (y.size === 0) return backInOps(cell, g, xs, a);
      const [x, w, h] = xs as [Tensor, Tensor, Tensor];
      const at = new Layout(cell, x.shape, a.reverse);
      const { gx, gProduct, carried } = runBack(cell, g, y, xs, a);
      const gc = reshape(carried, h.shape);
      const gh = (): Tensor => {
        const through = add(matmul(rowAt(gProduct, at.at(0)), w), rowAt(g, at.row(-1)));
        return cell.cells ? through : add(through, gc);
      };
      const gw = (): Tensor => weightGrad(at, gProduct, y, w);
      return inputGrads(cell, gx, gw, gh, gc, () => sum(gProduct, [0, 1]));
    },
  };
}
const lstmRow = rowOf('lstm', lstmCell);
const gruRow = rowOf('gru', gruCell);

export interface RecurrenceOptions {
  /** Added to the products with the hidden state. */
  bias?: TensorLike | null;
  /** From the last time to the first. */
  reverse?: boolean;
}

/** Runs a layer; outputs [time, batch, hidden] and the last states, each [1, batch, hidden]. */
function layer(
  row: OpRow<Attrs>,
  cell: Cell,
  given: readonly TensorLike[],
  { bias = null, reverse = false }: RecurrenceOptions,
): Tensor[] {
  const xs = given.map((x) => asTensor(row.name, x));
  const x = xs[0]!;
  if (bias !== null) xs.push(asTensor(row.name, bias));
  const [time, batch, wide] = x.shape;
  const hidden = wide! / cell.blocks;
  const wanted = [
    x.shape,
    [wide!, hidden],
    [batch!, hidden],
    ...(cell.cells ? [[batch!, hidden]] : []),
    [wide!],
  ];
  if (x.ndim !== 3 || time === 0 || !xs.every((t, k) => sameShape(t.shape, wanted[k]!)))
    throw shapeError(
      row.name,
      `products [time, batch, ${cell.blocks} · hidden], weight [${cell.blocks} · hidden, hidden] and states [batch, hidden] do not fit, got ${xs.map((t) => showShape(t.shape)).join(', ')}`,
    );
  const y = apply(row, xs, { reverse });
  const at = new Layout(cell, x.shape, reverse);
  const last = [at.row(at.time - 1), ...(cell.cells ? [at.cellRow] : [])];
  return [narrow(y, 0, at.outputs, at.time), ...last.map((k) => narrow(y, 0, k, 1))];
}

type Lstm = (
  x: TensorLike,
  weight: TensorLike,
  h: TensorLike,
  c: TensorLike,
  options?: RecurrenceOptions,
) => [outputs: Tensor, h: Tensor, c: Tensor];

/**
 * Long short-term memory through time, one layer in one direction: from the inputs' products x [time, batch, 4 · hidden] (blocks
 * i, f, g, o), the weight of the hidden state [4 · hidden, hidden] and the first states h and c [batch, hidden], the hidden
 * states [time, batch, hidden] and the last states [1, batch, hidden].
 */
export const lstm: Op<Lstm> = define(
  (x, weight, h, c, options = {}) =>
    layer(lstmRow, lstmCell, [x, weight, h, c], options) as [Tensor, Tensor, Tensor],
  {
    // prettier-ignore
    samples: () => [
      { shapes: [[3, 2, 8], [8, 2], [2, 2], [2, 2], [8]], call: (x, w, h, c, bias) => concat(lstm(x!, w!, h!, c!, { bias: bias! })), domain: [-1, 1] },
      { shapes: [[2, 1, 4], [4, 1], [1, 1], [1, 1]], call: (x, w, h, c) => concat(lstm(x!, w!, h!, c!, { reverse: true })), domain: [-1, 1] },
    ],
    errors: () => [
      [
        () => lstm([[[1, 2, 3, 4]]], [[1, 2]], [[1]], [[1]]),
        /lstm: products .* do not fit, got \[1, 1, 4\], \[1, 2\]/,
      ],
    ],
  },
  lstmRow,
);

type Gru = (
  x: TensorLike,
  weight: TensorLike,
  h: TensorLike,
  options?: RecurrenceOptions,
) => [outputs: Tensor, h: Tensor];

/**
 * A gated recurrent unit through time, as {@link lstm}: products x [time, batch, 3 · hidden] (blocks r, z, n), weight
 * [3 · hidden, hidden], first state [batch, hidden]. The reset gate multiplies the hidden product, its bias included.
 */
export const gru: Op<Gru> = define(
  (x, weight, h, options = {}) => layer(gruRow, gruCell, [x, weight, h], options) as [Tensor, Tensor],
  {
    // prettier-ignore
    samples: () => [
      { shapes: [[3, 2, 6], [6, 2], [2, 2], [6]], call: (x, w, h, bias) => concat(gru(x!, w!, h!, { bias: bias! })), domain: [-1, 1] },
      { shapes: [[2, 1, 3], [3, 1], [1, 1]], call: (x, w, h) => concat(gru(x!, w!, h!, { reverse: true })), domain: [-1, 1] },
    ],
    errors: () => [
      [() => gru([[[1, 2, 3]]], [[1], [2]], [[1]]), /gru: products .* do not fit, got \[1, 1, 3\], \[2, 1\]/],
    ],
  },
  gruRow,
);
