// Kernels on plain typed arrays: checks everything before any memory is touched, then passes the arrays to the addon, or
// stages them on the heap for the other engines. Arrays from `alloc` lie on the heap and are never copied.
import { openScope } from '../memory/arena.js';
import { heap } from '../memory/heap.js';
import { describe, rangeError, typeError } from '../tensor/errors.js';
import { activeAddon, launch } from './launch.js';
import { isPointer } from './row.js';
import { table, type KernelName } from './table.js';

export type Plain = Float32Array | Int32Array | Uint32Array;
export type DirectArgument = Plain | number | null;

/** Every buffer object that has stood for the heap; a shared memory gets a new one when it grows. */
const heapBuffers = new WeakSet<object>();
const blocks = new WeakMap<Float32Array, number>();

/** A zeroed array on the heap: no engine copies it. Give it back with {@link free}. */
export function alloc(length: number): Float32Array {
  if (!Number.isInteger(length) || length < 0 || length > 2 ** 30)
    throw rangeError('alloc', `length must be a whole number in [0, 2^30], got ${describe(length)}`);
  const offset = heap.allocate(length * 4);
  const buffer = heap.memory.buffer as unknown as ArrayBuffer;
  heapBuffers.add(buffer);
  const array = new Float32Array(buffer, offset, length).fill(0);
  blocks.set(array, offset);
  return array;
}

/** Gives back an array from {@link alloc}; it must not be used afterwards. */
export function free(array: Float32Array): void {
  const offset = blocks.get(array);
  if (offset === undefined) throw typeError('free', 'expected an array from alloc() that was not freed yet');
  blocks.delete(array);
  heap.release(offset);
}

const TYPES = { p: Int32Array, j: Int32Array, r: Uint32Array } as const;
const typeOf = (letter: string): typeof Float32Array | typeof Int32Array | typeof Uint32Array =>
  TYPES[letter as keyof typeof TYPES] ?? Float32Array;

interface Pointer {
  letter: string;
  name: string;
  array: Plain;
}

const isWritten = (letter: string): boolean => 'oup'.includes(letter);

function overlap(a: Plain, b: Plain): boolean {
  const same = a.buffer === b.buffer || (heapBuffers.has(a.buffer) && heapBuffers.has(b.buffer));
  if (!same || a.length === 0 || b.length === 0) return false;
  return a.byteOffset < b.byteOffset + b.byteLength && b.byteOffset < a.byteOffset + a.byteLength;
}

/** Sizes are whole numbers; what is missing or no number at all is named here too. */
function checkNumbers(
  where: string,
  sig: string,
  names: readonly string[],
  args: readonly DirectArgument[],
): void {
  for (let k = 0; k < sig.length; k++) {
    const value = args[k];
    if (isPointer(sig[k]!)) continue;
    if (typeof value === 'number' && (sig[k] === 's' || (Number.isSafeInteger(value) && value >= 0)))
      continue;
    const wanted = sig[k] === 's' ? 'a number' : 'a whole number >= 0';
    throw rangeError(where, `${names[k]} must be ${wanted}, got ${describe(value)}`);
  }
}

/** Whether a row may do without its pointer number `at`. */
const mayBeAbsent = (kernel: KernelName, at: number): boolean =>
  table[kernel].cases.some(({ absent }) => absent?.includes(at));

const LOST = 'was its buffer transferred or resized?';

/** The methods of an array refuse to work where its buffer is gone; its length alone says 0, as that of an empty one. */
function hasMemory(array: Plain): boolean {
  try {
    array.at(0);
    return true;
  } catch {
    return false;
  }
}

/** The pointers among the arguments, each of the right type and long enough. */
function checkPointers(
  where: string,
  kernel: KernelName,
  names: readonly string[],
  args: readonly DirectArgument[],
): Pointer[] {
  const { sig, extents } = table[kernel];
  const numbers = args.filter((_, k) => !isPointer(sig[k]!)) as number[];
  const lengths = extents(...numbers);
  const found: Pointer[] = [];
  let at = -1;
  args.forEach((value, k) => {
    const letter = sig[k]!;
    if (!isPointer(letter)) return;
    const need = lengths[++at]!;
    if (value === null && mayBeAbsent(kernel, at)) return;
    const Type = typeOf(letter);
    const name = names[k]!;
    if (!(value instanceof Type))
      throw typeError(where, `${name} must be a ${Type.name}, got ${describe(value)}`);
    if (value.length < need) {
      const count = `${value.length} element${value.length === 1 ? '' : 's'}`;
      throw rangeError(where, `${name} has ${count}, needs ${need}`, value.length === 0 ? LOST : undefined);
    }
    // An input that says how long the others are is never too short.
    if (value.length === 0 && !hasMemory(value)) throw rangeError(where, `${name} has lost its memory`, LOST);
    found.push({ letter, name, array: value.length === need ? value : value.subarray(0, need) });
  });
  return found;
}

/** Outputs must be apart from everything else; where the row allows it, the first output may be the first input. */
function checkOverlap(where: string, kernel: KernelName, pointers: readonly Pointer[]): void {
  const firstInput = pointers.find((p) => p.letter === 'i');
  pointers.forEach((out, k) => {
    if (!isWritten(out.letter)) return;
    for (const other of pointers) {
      if (other === out || !overlap(out.array, other.array)) continue;
      const allowed =
        table[kernel].inPlace &&
        k === 0 &&
        other === firstInput &&
        out.array.byteOffset === other.array.byteOffset &&
        out.array.length === other.array.length;
      if (!allowed)
        throw rangeError(
          where,
          `${out.name} overlaps ${other.name}`,
          table[kernel].inPlace ? 'they must be the same array or apart' : 'they must be apart',
        );
    }
  });
}

/**
 * Runs a kernel on typed arrays; `names` are those of its arguments, for the errors.
 * @throws TypeError, RangeError before anything is changed
 */
export function callDirect(
  where: string,
  kernel: KernelName,
  names: readonly string[],
  args: readonly DirectArgument[],
): void {
  checkNumbers(where, table[kernel].sig, names, args);
  const pointers = checkPointers(where, kernel, names, args);
  checkOverlap(where, kernel, pointers);
  const native = activeAddon();
  if (native?.direct(kernel, args)) return;
  staged(kernel, args, pointers);
}

function staged(kernel: KernelName, args: readonly DirectArgument[], pointers: readonly Pointer[]): void {
  const scope = openScope();
  try {
    const places = pointers.map(({ array, letter }) => {
      if (heapBuffers.has(array.buffer)) return array.byteOffset;
      const offset = scope.allocate(array.byteLength);
      if (letter !== 'o' && letter !== 'p') view(array, offset).set(array);
      return offset;
    });
    const { sig } = table[kernel];
    let at = 0;
    launch(
      kernel,
      ...args.map((value, k) =>
        !isPointer(sig[k]!) ? (value as number) : value === null ? 0 : places[at++]!,
      ),
    );
    pointers.forEach(({ array, letter }, k) => {
      if (isWritten(letter) && !heapBuffers.has(array.buffer)) array.set(view(array, places[k]!));
    });
  } finally {
    scope.end();
  }
}

/** The heap at `offset`, as an array of the same type and length. */
function view(array: Plain, offset: number): Plain {
  const whole = array instanceof Float32Array ? heap.f32 : array instanceof Int32Array ? heap.i32 : heap.u32;
  return whole.subarray(offset / 4, offset / 4 + array.length);
}
