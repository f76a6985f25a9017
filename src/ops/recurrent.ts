// Recurrent layers: one layer in one direction, through all of time, is one op.
import { shapeError, showShape } from '../tensor/errors.js';
import { apply, define, type InputGrad, type Op, type OpRow } from '../tensor/op.js';
import { sameShape } from '../tensor/shape.js';
import { asTensor, type Tensor, type TensorLike } from '../tensor/tensor.js';
import { gruCell, lstmCell, type Cell } from './cells.js';
import { zeros } from './create.js';
import { concat } from './join.js';
import { linear, matmul } from './matmul.js';
import { narrow, reshape, transpose } from './move.js';
import { add } from './pointwise.js';
import { sum } from './reduce.js';
import { backThroughTime, Layout, throughTime, unpack, type Attrs, type Parts } from './throughtime.js';

const rowAt = (t: Tensor, k: number): Tensor => reshape(narrow(t, 0, k, 1), t.shape.slice(1));

/** The gradients of the inputs, in ops: the layer is run again step by step, and back. */
function backInOps(cell: Cell, g: Tensor, xs: readonly Tensor[], a: Attrs): InputGrad[] {
  const { x, wx, wh, h, c, bx, bh } = unpack(cell, a, xs);
  const at = new Layout(cell, x.shape, wh.shape, a.reverse);
  const fromX = linear(x, wx, bx ?? null);
  let state = c ? [h, c] : [h];
  const before: Tensor[] = [];
  const steps = Array.from({ length: at.time }, (_, k) => {
    before.push(state[0]!);
    const step = cell.step(rowAt(fromX, at.at(k)), linear(state[0]!, wh, bh ?? null), state);
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
    gh = matmul(gp, wh);
    carry = carried;
  }
  const [byX, byProduct] = [concat(gxs, 0), concat(gProducts.reverse(), 0)];
  return inputGrads(cell, a, {
    x: () => reshape(matmul(byX, wx), x.shape),
    wx: () => matmul(transpose(byX), reshape(x, [at.time * at.batch, -1])),
    wh: () => matmul(transpose(byProduct), concat(before, 0)),
    h: startGrad(cell, at, g, gh!, carry!),
    c: carry!,
    bx: () => sum(byX, 0),
    bh: () => sum(byProduct, 0),
  });
}

/** The gradient by the first hidden state, which is part of the result, goes through the first product, and past it in a layer without cells. */
function startGrad(cell: Cell, at: Layout, g: Tensor, through: Tensor, carry: Tensor): Tensor {
  const own = add(through, rowAt(g, at.row(-1)));
  return cell.cells ? own : add(own, carry);
}

/** Gradients in the order of the inputs. */
function inputGrads(cell: Cell, a: Attrs, { x, wx, wh, h, c, bx, bh }: Parts<InputGrad>): InputGrad[] {
  const there = [cell.cells ? [c!] : [], a.biases[0] ? [bx!] : [], a.biases[1] ? [bh!] : []];
  return [x, wx, wh, h, ...there.flat()];
}

function rowOf(name: string, cell: Cell): OpRow<Attrs> {
  return {
    name,
    shape: ([x, , , h]) => [x![0]! + (cell.cells ? 2 : 1), ...h!],
    forward: (y, xs, a) => throughTime(cell, y, xs, a),
    vjp: (g, _y, xs, a) => backInOps(cell, g, xs, a),
    vjpFused: (g, y, xs, a) => {
      if (y.size === 0) return backInOps(cell, g, xs, a);
      const grads = backThroughTime(cell, g, y, xs, a);
      const at = new Layout(cell, xs[0]!.shape, xs[2]!.shape, a.reverse);
      const h = (): Tensor => startGrad(cell, at, g, grads.h!, grads.c!);
      return inputGrads(cell, a, { ...grads, h });
    },
  };
}
const lstmRow = rowOf('lstm', lstmCell);
const gruRow = rowOf('gru', gruCell);

export interface RecurrenceOptions {
  /** Added to the products with the inputs. */
  biasX?: TensorLike | null;
  /** Added to the products with the hidden state. */
  biasH?: TensorLike | null;
  /** From the last time to the first. */
  reverse?: boolean;
}

/** Runs a layer; outputs [time, batch, hidden] and the last states, each [1, batch, hidden]. */
function layer(
  row: OpRow<Attrs>,
  cell: Cell,
  given: readonly TensorLike[],
  { biasX = null, biasH = null, reverse = false }: RecurrenceOptions,
): Tensor[] {
  const biases = [biasX, biasH].filter((b) => b !== null);
  const xs = [...given, ...biases].map((x) => asTensor(row.name, x));
  const [x, , wh] = xs as [Tensor, Tensor, Tensor];
  const [[time, batch, inputs], hidden] = [x.shape, wh.shape[1]!];
  const wide = cell.blocks * hidden;
  const state = [batch!, hidden];
  const wanted = [x.shape, [wide, inputs!], [wide, hidden], state, ...(cell.cells ? [state] : [])];
  biases.forEach(() => wanted.push([wide]));
  if (x.ndim !== 3 || !xs.every((t, k) => sameShape(t.shape, wanted[k]!)))
    throw shapeError(
      row.name,
      `inputs [time, batch, features], weights [${cell.blocks} · hidden, features] and [${cell.blocks} · hidden, hidden] and states [batch, hidden] do not fit, got ${xs.map((t) => showShape(t.shape)).join(', ')}`,
    );
  if (time === 0)
    throw shapeError(row.name, `inputs of shape ${showShape(x.shape)} have no time step, needs at least one`);
  const y = apply(row, xs, { reverse, biases: [biasX !== null, biasH !== null] });
  const at = new Layout(cell, x.shape, wh.shape, reverse);
  const last = [at.row(at.time - 1), ...(cell.cells ? [at.cellRow] : [])];
  return [narrow(y, 0, at.outputs, at.time), ...last.map((k) => narrow(y, 0, k, 1))];
}

type Lstm = (
  x: TensorLike,
  weightX: TensorLike,
  weightH: TensorLike,
  h: TensorLike,
  c: TensorLike,
  options?: RecurrenceOptions,
) => [outputs: Tensor, h: Tensor, c: Tensor];

/**
 * Long short-term memory through time, one layer in one direction: from inputs x [time, batch, features], the weights of
 * the inputs [4 · hidden, features] and of the hidden state [4 · hidden, hidden] (blocks i, f, g, o), and the first states
 * h and c [batch, hidden], the hidden states [time, batch, hidden] and the last states [1, batch, hidden].
 */
export const lstm: Op<Lstm> = define(
  (x, weightX, weightH, h, c, options = {}) =>
    layer(lstmRow, lstmCell, [x, weightX, weightH, h, c], options) as [Tensor, Tensor, Tensor],
  {
    // prettier-ignore
    samples: () => [
      { shapes: [[3, 2, 3], [8, 3], [8, 2], [2, 2], [2, 2], [8]], call: (x, wx, wh, h, c, b) => concat(lstm(x!, wx!, wh!, h!, c!, { biasH: b! })), domain: [-1, 1] },
      { shapes: [[2, 1, 1], [4, 1], [4, 1], [1, 1], [1, 1]], call: (x, wx, wh, h, c) => concat(lstm(x!, wx!, wh!, h!, c!, { reverse: true })), domain: [-1, 1] },
      { shapes: [[2, 2, 1], [4, 1], [4, 1], [2, 1], [2, 1], [4], [4]], call: (x, wx, wh, h, c, bx, bh) => concat(lstm(x!, wx!, wh!, h!, c!, { biasX: bx!, biasH: bh! })), domain: [-1, 1] },
    ],
    errors: () => [
      [
        () => lstm([[[1, 2, 3, 4]]], [[1, 2]], [[1]], [[1]], [[1]]),
        /lstm: inputs .* do not fit, got \[1, 1, 4\], \[1, 2\]/,
      ],
      [
        () => lstm(zeros([0, 1, 1]), zeros([4, 1]), zeros([4, 1]), [[1]], [[1]]),
        /lstm: inputs of shape \[0, 1, 1\] have no time step, needs at least one/,
      ],
    ],
  },
  lstmRow,
);

type Gru = (
  x: TensorLike,
  weightX: TensorLike,
  weightH: TensorLike,
  h: TensorLike,
  options?: RecurrenceOptions,
) => [outputs: Tensor, h: Tensor];

/**
 * A gated recurrent unit through time, as {@link lstm}: inputs x [time, batch, features], weights [3 · hidden, features] and
 * [3 · hidden, hidden] (blocks r, z, n), first state [batch, hidden]. The reset gate multiplies the hidden product, its
 * bias included.
 */
export const gru: Op<Gru> = define(
  (x, weightX, weightH, h, options = {}) =>
    layer(gruRow, gruCell, [x, weightX, weightH, h], options) as [Tensor, Tensor],
  {
    // prettier-ignore
    samples: () => [
      { shapes: [[3, 2, 3], [6, 3], [6, 2], [2, 2], [6], [6]], call: (x, wx, wh, h, bx, bh) => concat(gru(x!, wx!, wh!, h!, { biasX: bx!, biasH: bh! })), domain: [-1, 1] },
      { shapes: [[2, 1, 1], [3, 1], [3, 1], [1, 1]], call: (x, wx, wh, h) => concat(gru(x!, wx!, wh!, h!, { reverse: true })), domain: [-1, 1] },
    ],
    errors: () => [
      [
        () => gru([[[1, 2, 3]]], [[1], [2]], [[1]], [[1]]),
        /gru: inputs .* do not fit, got \[1, 1, 3\], \[2, 1\]/,
      ],
    ],
  },
  gruRow,
);
