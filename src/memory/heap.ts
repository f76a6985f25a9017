// The heap: one shared WebAssembly.Memory that every kernel of every engine addresses by byte offset.
// Only this file grows it. A shared memory never moves and never detaches its views.
import { OutOfMemoryError } from '../tensor/errors.js';
import { FreeList } from './freelist.js';
import { wasm, type WasmMemory } from './webassembly.js';

const PAGE = 65536;
/** Every block starts on a cache line, which is also the widest vector. */
export const ALIGNMENT = 64;
/** Bytes that an instance of the WASM engine writes besides its outputs; see assembly/scratch.ts. */
export const SCRATCH = 4 << 20;
/** Below this the WASM engine keeps its constants (first page) and the scratch memory of its first instance. */
export const RESERVED = PAGE + SCRATCH;
const INITIAL_PAGES = 128;

export type RealArray = Float32Array | Float64Array;

export const alignUp = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

function reserve(): WasmMemory {
  // Address space is reserved, not used; a process with a small `ulimit -v` gets a smaller maximum.
  let last: unknown;
  for (const maximum of [65536, 16384, 4096, 1024]) {
    try {
      return new wasm.Memory({ initial: INITIAL_PAGES, maximum, shared: true });
    } catch (error) {
      last = error;
    }
  }
  throw new OutOfMemoryError(
    `heap: the system refused to reserve even 64 MiB of address space (${String(last)})`,
  );
}

/** The heap and its allocator. */
class Heap {
  readonly memory = reserve();
  f32 = new Float32Array(this.memory.buffer);
  f64 = new Float64Array(this.memory.buffer);
  i32 = new Int32Array(this.memory.buffer);
  u32 = new Uint32Array(this.memory.buffer);
  /** Bytes of a real number: 4, or 8 while the reference engine computes in double precision. */
  width: 4 | 8 = 4;
  /** Bytes in blocks that are in use. */
  used = 0;
  private readonly sizes = new Map<number, number>();
  private readonly free = new FreeList();

  constructor() {
    this.free.give(RESERVED, INITIAL_PAGES * PAGE - RESERVED);
  }

  /** Bytes of the whole memory. */
  get capacity(): number {
    return this.memory.buffer.byteLength;
  }

  /** The heap as an array of reals of the current width. */
  get real(): RealArray {
    return this.width === 4 ? this.f32 : this.f64;
  }

  /**
   * Returns the byte offset of a fresh, uninitialised block.
   * @throws OutOfMemoryError with the bytes wanted and held, when the heap cannot grow.
   */
  allocate(bytes: number): number {
    const want = alignUp(Math.max(bytes, 1));
    let offset = this.free.take(want);
    if (offset < 0) {
      this.grow(want);
      offset = this.free.take(want);
    }
    this.sizes.set(offset, want);
    this.used += want;
    return offset;
  }

  /** Makes a block longer by whole cache lines, if what follows it is free. */
  lengthen(offset: number, bytes: number): boolean {
    const old = this.sizes.get(offset)!;
    const end = offset + old;
    if (!this.free.takeAt(end, bytes)) {
      if (end + this.free.before(this.capacity) !== this.capacity) return false;
      this.grow(bytes);
      this.free.takeAt(end, bytes);
    }
    this.sizes.set(offset, old + bytes);
    this.used += bytes;
    return true;
  }

  /** Gives a block back. */
  release(offset: number): void {
    const bytes = this.sizes.get(offset);
    if (bytes === undefined) throw new Error(`heap: ${offset} is not the start of a live block`);
    this.sizes.delete(offset);
    this.used -= bytes;
    this.free.give(offset, bytes);
  }

  private grow(want: number): void {
    const before = this.capacity;
    const pages = Math.ceil((want - this.free.before(before)) / PAGE);
    // A quarter more than needed, so that a growing program grows rarely; just what is needed when that fails.
    if (!this.tryGrow(Math.max(pages, before / PAGE / 4)) && !this.tryGrow(pages))
      throw new OutOfMemoryError(
        `heap: cannot grow by ${want} bytes; ${this.used} bytes of ${before} are in use; use smaller batches or a scope`,
      );
    this.free.give(before, this.capacity - before);
  }

  private tryGrow(pages: number): boolean {
    try {
      this.memory.grow(Math.ceil(pages));
    } catch {
      return false;
    }
    const { buffer } = this.memory;
    this.f32 = new Float32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    return true;
  }
}

export const heap = new Heap();
