// ArrayDataset: columns of one length, gathered by position.
import { describe, expect, it } from 'vitest';
import { data, scope, tensor, Tensor } from '../../src/index.js';

const images = tensor([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], { shape: [3, 1, 2, 2] });
const labels = new Int32Array([7, 8, 9]);

describe('ArrayDataset', () => {
  it('gathers rows of tensors, labels, nested arrays and vectors', () => {
    const set = new data.ArrayDataset(
      images,
      labels,
      [
        [1, 2],
        [3, 4],
        [5, 6],
      ],
      new Float32Array([0.5, 1.5, 2.5]),
    );
    expect(set.length).toBe(3);
    const [x, y, pairs, weights] = set.batch(Int32Array.of(2, 0, 2));
    expect([x.shape, pairs.shape, weights.shape]).toEqual([[3, 1, 2, 2], [3, 2], [3]]);
    expect([...x.toFloat32Array()]).toEqual([9, 10, 11, 12, 1, 2, 3, 4, 9, 10, 11, 12]);
    expect(y).toEqual(Int32Array.of(9, 7, 9));
    expect(pairs.toArray()).toEqual([
      [5, 6],
      [1, 2],
      [5, 6],
    ]);
    expect(weights.toArray()).toEqual([2.5, 0.5, 2.5]);
  });

  it('slices without copying', () => {
    const pixels = new Float32Array([1, 2, 3]);
    const part = new data.ArrayDataset(pixels, labels).slice(1);
    pixels[2] = 30;
    expect(part.length).toBe(2);
    expect(
      part.batch(Int32Array.of(1, 0)).map((c) => [...(c instanceof Tensor ? c.toFloat32Array() : c)]),
    ).toEqual([
      [30, 2],
      [9, 8],
    ]);
    expect(() => part.slice(0, 3)).toThrow(/slice: end must be an integer >= 0 and <= 2, got 3/);
  });

  it('keeps a tensor that was made in a scope', () => {
    let set: data.ArrayDataset<[Tensor]> | undefined;
    scope(() => {
      set = new data.ArrayDataset(tensor([1, 2]).add(1));
    });
    expect(set!.batch(Int32Array.of(1))[0].toArray()).toEqual([3]);
  });

  it('refuses columns of different lengths, scalars, and positions outside', () => {
    expect(() => new data.ArrayDataset(images, labels.subarray(1))).toThrow(
      /ArrayDataset: columns have different first sizes, \[3, 2\]/,
    );
    expect(() => new data.ArrayDataset()).toThrow(/ArrayDataset: needs at least one column/);
    expect(() => new data.ArrayDataset(tensor(1))).toThrow(/needs a dimension that counts samples/);
    const set = new data.ArrayDataset(labels);
    expect(() => set.batch(Int32Array.of(0, 3))).toThrow(/index 3 is outside \[0, 3\)/);
    expect(() => set.batch([0] as never)).toThrow(/indices must be an Int32Array/);
  });
});
