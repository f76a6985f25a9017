// Datasets: samples by position. A batch is gathered in one go, so that a loader pays per batch and not per sample.
import { checkNumber, describe, rangeError, shapeError, showShape, typeError } from '../tensor/errors.js';
import { asTensor, type Tensor, wrap, type Nested } from '../tensor/tensor.js';
import type { Cells } from '../memory/storage.js';

/** Anything a loader can read: `length` samples, and the batch of the samples at the given positions. */
export interface Dataset<Batch> {
  readonly length: number;
  batch(indices: Int32Array): Batch;
}

/** One column of samples: reals (a tensor of any shape, nested arrays) or labels. The first size counts the samples. */
export type Column = Tensor | Float32Array | Int32Array | readonly Nested[];

/** What a batch holds for a column: labels stay an Int32Array, all else becomes a Tensor. */
export type BatchOf<Columns extends readonly Column[]> = {
  -readonly [K in keyof Columns]: Columns[K] extends Int32Array ? Int32Array : Tensor;
};

/** Rows of `width` numbers, one a sample. */
interface Table {
  values: Cells;
  width: number;
  /** Shape of one sample. */
  shape: readonly number[];
  labels: boolean;
}

function tableOf(column: Column): Table {
  if (column instanceof Int32Array) return { values: column, width: 1, shape: [], labels: true };
  const t = column instanceof Float32Array ? wrap(column, [column.length]) : asTensor('ArrayDataset', column);
  if (t.ndim === 0) throw shapeError('ArrayDataset', 'a column needs a dimension that counts samples');
  const shape = t.shape.slice(1);
  return { values: t.keep().storage.values(), width: shape.reduce((n, d) => n * d, 1), shape, labels: false };
}

function gather({ values, width }: Table, indices: Int32Array): Cells {
  const rows = indices.length;
  const out = new (values.constructor as new (n: number) => Cells)(rows * width);
  if (width === 1) for (let k = 0; k < rows; k++) out[k] = values[indices[k]!]!;
  else
    for (let k = 0; k < rows; k++) {
      const at = indices[k]! * width;
      out.set(values.subarray(at, at + width), k * width);
    }
  return out;
}

/**
 * Samples in memory: columns of equal first size, used as they are and not copied. A batch is an array with, for each
 * column, a Tensor of the picked rows, or an Int32Array of the picked labels.
 * @throws ShapeError if the columns' first sizes differ.
 * @example new ArrayDataset(tensor(pixels, { shape: [n, 1, 28, 28] }), Int32Array.from(digits))
 */
export class ArrayDataset<const Columns extends readonly Column[]> implements Dataset<BatchOf<Columns>> {
  readonly length: number;
  private readonly tables: readonly Table[];

  constructor(...columns: Columns) {
    if (columns.length === 0) throw typeError('ArrayDataset', 'needs at least one column');
    this.tables = columns.map(tableOf);
    const counts = this.tables.map(({ values, width }, k) =>
      width > 0 ? values.length / width : (columns[k] as Tensor).shape[0]!,
    );
    this.length = counts[0]!;
    if (counts.some((n) => n !== this.length))
      throw shapeError('ArrayDataset', `columns have different first sizes, ${showShape(counts)}`);
  }

  batch(indices: Int32Array): BatchOf<Columns> {
    if (!(indices instanceof Int32Array))
      throw typeError('ArrayDataset.batch', `indices must be an Int32Array, got ${describe(indices)}`);
    const stray = indices.find((i) => i < 0 || i >= this.length);
    if (stray !== undefined)
      throw rangeError('ArrayDataset.batch', `index ${stray} is outside [0, ${this.length})`);
    const columns = this.tables.map((table) => {
      const rows = gather(table, indices);
      return table.labels ? (rows as Int32Array) : wrap(rows, [indices.length, ...table.shape]);
    });
    return columns as unknown as BatchOf<Columns>;
  }

  /** The samples start … end - 1 (to the last by default), sharing this dataset's memory. */
  slice(start: number, end = this.length): ArrayDataset<Columns> {
    const where = 'ArrayDataset.slice';
    checkNumber(where, 'start', start, { min: 0, max: this.length, integer: true });
    checkNumber(where, 'end', end, { min: start, max: this.length, integer: true });
    const columns = this.tables.map(({ values, width, shape, labels }) => {
      const rows = values.subarray(start * width, end * width);
      return labels ? (rows as Int32Array) : wrap(rows, [end - start, ...shape]);
    });
    return new ArrayDataset(...(columns as unknown as Columns));
  }
}
