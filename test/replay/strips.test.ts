// Which rows are fused with their neighbours: all that only move bytes, without having to ask for it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as t from '../../src/index.js';
import type { Tensor } from '../../src/index.js';
import { isPointer, type KernelRow } from '../../src/kernels/row.js';
import { table, type KernelName } from '../../src/kernels/table.js';
import { inplace } from '../../src/kernels/table/inplace.js';
import { pointwise } from '../../src/kernels/table/pointwise.js';
import { curvedSlopes, slopes } from '../../src/kernels/table/slopes.js';
import { isStrips, launchesOf, NUMBER, type Buffer, type Instruction } from '../../src/replay/graph.js';
import { cutStrips } from '../../src/replay/passes/strips.js';
import { Draft } from '../../src/replay/uses.js';
import { SEED } from '../support/random.js';
import { numbers } from './support.js';

/** Elements of arrays that are worth strips. */
const MANY = 2 ** 19;
/** A length among the cases of rows that are elementwise. */
const SOME = 17;

/** A call of the row, and a product of what it writes with something else; the kernels of each instruction made of them. */
function fusedWithProduct(kernel: KernelName, numbers: readonly number[]): string[][] {
  const { sig, extents } = table[kernel];
  const buffers: Buffer[] = [];
  const buffer = (count: number): number =>
    buffers.push({ bytes: 4 * count, int: false, source: null, constant: null }) - 1;
  const pointers = extents(...numbers).map(buffer);
  const [written, sizes] = [pointers[0]!, extents(...numbers)[0]!];
  const [rest, given] = [pointers.slice(), numbers.slice()];
  const owners = Array.from(sig, (letter) => (isPointer(letter) ? rest.shift()! : NUMBER));
  const args = Array.from(sig, (letter) => (isPointer(letter) ? 0 : given.shift()!));
  const product = [buffer(sizes), written, buffer(sizes)];
  const instructions: Instruction[] = [
    { kernel, args, owners, origins: [0], part: 0 },
    {
      kernel: 'mul',
      args: [0, 0, 0, 1, 1, sizes, 0, 0, 1, 0, 0, 1],
      owners: [...product, ...Array<number>(9).fill(NUMBER)],
      origins: [1],
      part: 0,
    },
  ];
  const graph = { instructions, buffers, outputs: new Set([product[0]!]) };
  return cutStrips(new Draft(graph)).instructions.map((one) =>
    launchesOf(one).map((launch) => (isStrips(one) ? launch.kernel : `${launch.kernel} whole`)),
  );
}

/** A case of a row whose arrays have {@link SOME} elements, with {@link MANY}. */
function enlarged({ cases, extents }: KernelRow): number[] {
  const found = cases.find(({ args }) => extents(...args)[0] === SOME && args.includes(SOME));
  return found!.args.map((n) => (n === SOME ? MANY : n));
}

describe('a row is fused unasked', () => {
  const names = Object.keys({ ...pointwise, ...slopes, ...curvedSlopes, ...inplace });
  it.each(names as KernelName[])('%s', (name) => {
    expect(fusedWithProduct(name, enlarged(table[name]))).toEqual([[name, 'mul']]);
  });

  it.each(['attention', 'attentionGrad'] as const)('but for %s, which is arithmetic', (name) => {
    expect(fusedWithProduct(name, [64, 128, 128, 32, 32, 0.2, 0, 0])).toEqual([
      [`${name} whole`],
      ['mul whole'],
    ]);
  });
});

describe(`chains in strips on ${t.backend.name}`, () => {
  const [R, C] = [512, 640];
  const order = Int32Array.from({ length: C }, (_, k) => (7 * k + 3) % C);
  const bytes = ({ buffer }: Float32Array): Uint8Array => new Uint8Array(buffer);
  /** Ways from one array of [R, C] to the next; `old` is an earlier one. */
  const ways: readonly ((x: Tensor, old: Tensor) => Tensor)[] = [
    (x, old) => x.add(old),
    (x) => x.relu(),
    (x) => x.sigmoid().pow(1.5),
    (x) => x.mul(x.sum(1, { keepdim: true })).tanh(),
    (x) => x.sub(x.mean(0, { keepdim: true })),
    (x) => t.cumsum(x, 1).mul(1 / C),
    (x) => t.cumsum(x, 0).mul(1 / R),
    (x) => t.softmax(x, -1).mul(C),
    (x) => t.indexSelect(x, 1, order),
    (x) =>
      t.indexSelect(
        x,
        0,
        order.slice(0, R).map((k) => k % R),
      ),
    (x, old) => t.concat([t.narrow(x, 1, 0, 100), t.narrow(old, 1, 100, C - 100)], 1),
    (x, old) => t.concat([t.narrow(x, 0, 9, R - 9), t.narrow(old, 0, 0, 9)], 0),
    (x, old) =>
      x
        .reshape([8, R / 8, C])
        .transpose(0, 1)
        .reshape([R, C])
        .add(old),
    (x, old) =>
      x
        .reshape([R, 4, C / 4])
        .transpose(1, 2)
        .reshape([R, C])
        .sub(old),
    (x) => x.add(t.argmax(x, 1, { keepdim: true }).mul(0.001)),
    (x, old) => t.where(x.gt(old), x, old.neg()),
  ];

  it('the bits are those of the calls one by one', () => {
    const x = t.tensor(numbers(R * C, 5), { shape: [R, C] }).keep();
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.array(fc.nat(ways.length - 1), { minLength: 2, maxLength: 7 }), (chain) => {
        const compiled = t.compile((start: Tensor) => {
          const all = [start];
          for (const way of chain) all.push(ways[way]!(all.at(-1)!, all.at(-3) ?? start));
          return all.at(-1)!;
        });
        const [first, , third] = [0, 1, 2].map(() => compiled(x).toFloat32Array());
        expect(compiled.replayed).toBe(1);
        const plan = compiled.plan();
        for (const [, kernel] of plan.matchAll(/^ +([a-z]\w+) {2}/gim)) seen.add(kernel!);
        compiled.dispose();
        expect(Buffer.compare(bytes(first!), bytes(third!)), chain.join()).toBe(0);
      }),
      { numRuns: 30, seed: SEED },
    );
    for (const kernel of ['pow', 'cumsum', 'argmax', 'take', 'copy']) expect([...seen]).toContain(kernel);
  });
});
