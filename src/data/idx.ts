// The IDX format of MNIST and its relatives (yann.lecun.com/exdb/mnist): big-endian; two zero bytes, a type code, the
// number of dimensions, the sizes, the values. A file is read whole, and every byte of it must be accounted for.
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { checkNumber, checkOptions, rangeError, showShape, typeError } from '../tensor/errors.js';
import { sizeOf } from '../tensor/shape.js';
import { wrap, type Tensor } from '../tensor/tensor.js';
import { ArrayDataset } from './dataset.js';

type Values = Uint8Array | Int8Array | Int16Array | Int32Array | Float32Array | Float64Array;

/** The contents of an IDX file: values in row-major order. */
export interface Idx {
  shape: number[];
  data: Values;
}

interface Format {
  name: string;
  bytes: number;
  make(n: number): Values;
  read(view: DataView, at: number): number;
}

const FORMATS: Readonly<Record<number, Format>> = {
  0x08: { name: 'uint8', bytes: 1, make: (n) => new Uint8Array(n), read: (v, at) => v.getUint8(at) },
  0x09: { name: 'int8', bytes: 1, make: (n) => new Int8Array(n), read: (v, at) => v.getInt8(at) },
  0x0b: { name: 'int16', bytes: 2, make: (n) => new Int16Array(n), read: (v, at) => v.getInt16(at) },
  0x0c: { name: 'int32', bytes: 4, make: (n) => new Int32Array(n), read: (v, at) => v.getInt32(at) },
  0x0d: { name: 'float32', bytes: 4, make: (n) => new Float32Array(n), read: (v, at) => v.getFloat32(at) },
  0x0e: { name: 'float64', bytes: 8, make: (n) => new Float64Array(n), read: (v, at) => v.getFloat64(at) },
};

/** No IDX file that we read unpacks to more than this. */
const MOST_BYTES = 2 ** 31;

function bytesOf(path: string): Buffer {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw rangeError('readIdx', code === 'ENOENT' ? `${path}: there is no such file` : `${path}: ${message}`);
  }
  if (!(bytes[0] === 0x1f && bytes[1] === 0x8b)) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: MOST_BYTES });
  } catch (error) {
    throw rangeError('readIdx', `${path}: is compressed and does not unpack (${(error as Error).message})`);
  }
}

function headerOf(path: string, bytes: Buffer): { format: Format; shape: number[] } {
  if (bytes.length < 4)
    throw rangeError('readIdx', `${path}: an IDX file has at least 4 bytes, this one ${bytes.length}`);
  const format = FORMATS[bytes[2]!];
  if (bytes[0] !== 0 || bytes[1] !== 0 || !format)
    throw rangeError(
      'readIdx',
      `${path}: not an IDX file, which starts with 00 00 and a type 08 to 0e; this one with ${bytes.toString('hex', 0, 4).replace(/..(?=.)/g, '$& ')}`,
    );
  const ndim = bytes[3]!;
  const header = 4 + 4 * ndim;
  if (bytes.length < header)
    throw rangeError(
      'readIdx',
      `${path}: cut off, ${ndim} dimensions need a header of ${header} bytes and the file has ${bytes.length}`,
    );
  return { format, shape: Array.from({ length: ndim }, (_, k) => bytes.readUInt32BE(4 + 4 * k)) };
}

/**
 * Reads an IDX file, plain or gzipped.
 * @throws RangeError that names the file and what is wrong: missing, not IDX, or not as long as its header says.
 */
export function readIdx(path: string): Idx {
  const bytes = bytesOf(path);
  const { format, shape } = headerOf(path, bytes);
  const header = 4 + 4 * shape.length;
  const count = sizeOf(shape);
  const expected = header + count * format.bytes;
  if (bytes.length !== expected)
    throw rangeError(
      'readIdx',
      `${path}: ${bytes.length < expected ? 'cut off' : 'too long'}, ${showShape(shape)} values of ${format.name} need ${expected} bytes and the file has ${bytes.length}`,
    );
  const data = format.make(count);
  if (format.bytes === 1)
    data.set(format.name === 'int8' ? new Int8Array(bytes.subarray(header)) : bytes.subarray(header));
  else {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let k = 0; k < count; k++) data[k] = format.read(view, header + k * format.bytes);
  }
  return { shape, data };
}

/** `train-images-idx3-ubyte`, also with a dot before `idx3` and with `.gz`. */
function find(directory: string, part: string, kind: string): string {
  const plain = `${part}-${kind}-ubyte`;
  const names = [plain, plain.replace('-idx', '.idx')].flatMap((name) => [name, `${name}.gz`]);
  const found = names.map((name) => join(directory, name)).find((path) => existsSync(path));
  if (found) return found;
  throw rangeError('mnist', `${join(directory, plain)}: there is no such file`, 'nor one with .gz');
}

function readBytes(directory: string, part: string, kind: string, ndim: number): Idx & { path: string } {
  const path = find(directory, part, kind);
  const { shape, data } = readIdx(path);
  if (shape.length !== ndim || !(data instanceof Uint8Array))
    throw rangeError('mnist', `${path}: expected ${ndim} dimensions of uint8, got shape ${showShape(shape)}`);
  return { path, shape, data };
}

export interface MnistOptions {
  /** Mean of the pixels, scaled to [0, 1], that is subtracted (default 0.1307: MNIST's training set). */
  mean?: number;
  /** Standard deviation that is divided by (default 0.3081: MNIST's training set). */
  std?: number;
}

/** Images [n, 1, height, width] and their digits. */
export type MnistDataset = ArrayDataset<[Tensor, Int32Array]>;

function split(directory: string, part: string, mean: number, std: number): MnistDataset {
  const images = readBytes(directory, `${part}-images`, 'idx3', 3);
  const labels = readBytes(directory, `${part}-labels`, 'idx1', 1);
  const [n, height, width] = images.shape as [number, number, number];
  if (labels.shape[0] !== n)
    throw rangeError(
      'mnist',
      `${n} images in ${basename(images.path)} and ${labels.shape[0]} labels in ${basename(labels.path)}`,
    );
  const level = Float32Array.from({ length: 256 }, (_, byte) => (byte / 255 - mean) / std);
  const pixels = new Float32Array(images.data.length);
  for (let k = 0; k < pixels.length; k++) pixels[k] = level[images.data[k]!]!;
  return new ArrayDataset(wrap(pixels, [n, 1, height, width]), Int32Array.from(labels.data));
}

/**
 * MNIST (LeCun, Cortes and Burges, 1998), or any dataset in its four files, from a directory. Pixels become
 * (byte / 255 - mean) / std.
 * @throws RangeError that names the file that is missing or damaged.
 * @example const { train, test } = mnist('data'); // 60,000 and 10,000 samples
 */
export function mnist(
  directory: string,
  options: MnistOptions = {},
): { train: MnistDataset; test: MnistDataset } {
  if (typeof directory !== 'string') throw typeError('mnist', 'expected the path of a directory');
  checkOptions('mnist', options, ['mean', 'std']);
  const mean = checkNumber('mnist', 'mean', options.mean ?? 0.1307);
  const std = checkNumber('mnist', 'std', options.std ?? 0.3081, { above: 0 });
  return { train: split(directory, 'train', mean, std), test: split(directory, 't10k', mean, std) };
}
