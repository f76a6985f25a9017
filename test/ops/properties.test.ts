// Properties that hold for every shape: drawn by fast-check from a seed that a failure prints.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as t from '../../src/index.js';
import type { Tensor } from '../../src/index.js';
import { sumTo } from '../../src/autodiff/backward.js';
import { broadcastStrides, sizeOf } from '../../src/tensor/shape.js';
import { wrap } from '../../src/tensor/tensor.js';
import { SEED } from '../support/random.js';

const check = <T>(property: fc.IProperty<T>): void => fc.assert(property, { seed: SEED, numRuns: 200 });

const size = fc.integer({ min: 0, max: 5 });
const shape = fc.array(size, { maxLength: 5 });

/** Small whole numbers, so that sums and products are exact in float32. */
const filled = (dims: readonly number[], salt = 0): Tensor =>
  wrap(
    Float32Array.from({ length: sizeOf(dims) }, (_, k) => ((k * 7 + salt) % 11) - 5),
    dims,
  );

/** A shape, and another that broadcasts against it: sizes set to 1, leading dimensions dropped. */
const partners = fc
  .tuple(shape, fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }), fc.nat(3))
  .map(([s, ones, drop]) => [s, s.map((d, k) => (ones[k] ? 1 : d)).slice(Math.min(drop, s.length))] as const);

const values = (x: Tensor): number[] => [...x.toFloat32Array()];

describe(`properties of ops on ${t.backend.name} (seed ${SEED})`, () => {
  it('broadcasting reads what a naive loop reads, either way round', () =>
    check(
      fc.property(partners, ([a, b]) => {
        const [x, y] = [filled(a), filled(b, 3)];
        const [sx, sy] = [broadcastStrides(a, a), broadcastStrides(b, a)];
        const want = Array.from({ length: sizeOf(a) }, (_, flat) => {
          let [rest, i, j] = [flat, 0, 0];
          for (let d = a.length - 1; d >= 0; d--) {
            const at = rest % a[d]!;
            rest = (rest - at) / a[d]!;
            i += at * sx[d]!;
            j += at * sy[d]!;
          }
          return x.storage.values()[i]! - 2 * y.storage.values()[j]!;
        });
        expect(values(x.sub(y.mul(2)))).toEqual(want);
        // Adding 0 makes -0 of the negation 0 again.
        expect(values(y.mul(2).sub(x).neg().add(0))).toEqual(want);
      }),
    ));

  it('summing back what was expanded multiplies by the number of copies', () =>
    check(
      fc.property(partners, ([a, b]) => {
        fc.pre(sizeOf(a) > 0);
        const x = filled(b);
        const copies = sizeOf(a) / sizeOf(b);
        expect(values(sumTo(x.broadcastTo(a), b))).toEqual(values(x).map((v) => v * copies));
      }),
    ));

  it('a permutation and its inverse give the tensor back', () =>
    check(
      fc.property(
        shape.chain((s) =>
          fc.tuple(
            fc.constant(s),
            fc.shuffledSubarray(
              s.map((_, k) => k),
              { minLength: s.length },
            ),
          ),
        ),
        ([s, order]) => {
          const x = filled(s);
          const y = x.permute(order);
          expect(y.shape).toEqual(order.map((d) => s[d]));
          expect(values(y.permute(order.map((_, k) => order.indexOf(k))))).toEqual(values(x));
        },
      ),
    ));

  it('pieces of a split joined again are the tensor', () =>
    check(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
        fc.nat(3),
        fc.integer({ min: 1, max: 4 }),
        (s, d, piece) => {
          const dim = d % s.length;
          const x = filled(s);
          expect(values(t.concat(t.split(x, piece, dim), dim))).toEqual(values(x));
        },
      ),
    ));

  it('padding and cropping by as much give the tensor back', () =>
    check(
      fc.property(fc.array(fc.tuple(size, size, size), { maxLength: 4 }), (dims) => {
        const x = filled(dims.map(([d]) => d));
        const padded = x.pad(
          dims.map(([, a, b]) => [a, b] as const),
          9,
        );
        expect(values(padded.pad(dims.map(([, a, b]) => [-a || 0, -b || 0] as const)))).toEqual(values(x));
      }),
    ));

  it('a sum over some dimensions and then the others is the sum over all', () =>
    check(
      fc.property(shape, fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }), (s, picks) => {
        const x = filled(s);
        const some = s.flatMap((_, k) => (picks[k] ? [k] : []));
        expect(x.sum(some).sum().item()).toBe(x.sum().item());
      }),
    ));

  it('rows of a softmax add up to 1, whatever the scale and shift', () =>
    check(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.float({ min: -60, max: 60, noNaN: true }),
        (cols, scale) => {
          const x = filled([3, cols]).mul(scale).add(1000);
          for (const total of values(x.softmax().sum(1))) expect(total).toBeCloseTo(1, 5);
        },
      ),
    ));

  it('products agree with transposed products: (a b)ᵀ = bᵀ aᵀ', () =>
    check(
      fc.property(size, size, size, (m, k, n) => {
        const [a, b] = [filled([m, k]), filled([k, n], 5)];
        expect(values(a.matmul(b).transpose())).toEqual(values(b.transpose().matmul(a.transpose())));
      }),
    ));
});
