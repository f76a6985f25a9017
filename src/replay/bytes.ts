// The binary format of WebAssembly, as far as programs need it: numbers, vectors, sections, and the instructions that
// `wasm.ts` writes. See the core specification, chapter 5.

export const I32 = 0x7f;
export const F64 = 0x7c;
/** The type of a function, and of a block without a result. */
export const FUNCTION = 0x60;
export const VOID = 0x40;

/** Numbers of sections. */
export const SECTION = { types: 1, imports: 2, functions: 3, exports: 7, code: 10 } as const;

/** Instructions; some are followed by a number. */
export const OP = {
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  branchIf: 0x0d,
  call: 0x10,
  get: 0x20,
  tee: 0x22,
  i32: 0x41,
  f64: 0x44,
  less: 0x49,
  add: 0x6a,
  multiply: 0x6c,
} as const;

/** The magic number, and version 1. */
export const HEADER = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

/** Bytes of a length that is written before what it counts: the format allows for leading zeros. */
const LENGTH = 5;

/** Bytes that are written one after the other. */
export class Bytes {
  private cells = new Uint8Array(1 << 10);
  private end = 0;

  /** What was written so far. */
  done(): Uint8Array<ArrayBuffer> {
    return this.cells.slice(0, this.end);
  }

  byte(value: number): void {
    if (this.end === this.cells.length) this.makeRoom(1);
    this.cells[this.end++] = value;
  }

  bytes(values: ArrayLike<number>): void {
    this.makeRoom(values.length);
    this.cells.set(values, this.end);
    this.end += values.length;
  }

  /** A whole number from 0 to 2^31 - 1 (LEB128). */
  unsigned(n: number): void {
    let rest = n;
    for (; rest >= 0x80; rest >>= 7) this.byte((rest & 0x7f) | 0x80);
    this.byte(rest);
  }

  /** The low 32 bits of a whole number (signed LEB128): an address above 2 GiB is a negative number to WebAssembly. */
  signed(n: number): void {
    let rest = n | 0;
    for (;;) {
      const low = rest & 0x7f;
      rest >>= 7;
      // The last byte's bit 6 is the sign.
      if (rest === (low & 0x40 ? -1 : 0)) return this.byte(low);
      this.byte(low | 0x80);
    }
  }

  /** `type.const x`. */
  constant(type: number, x: number): void {
    this.byte(type === F64 ? OP.f64 : OP.i32);
    if (type !== F64) return this.signed(x);
    this.makeRoom(8);
    new DataView(this.cells.buffer).setFloat64(this.end, x, true);
    this.end += 8;
  }

  /** `op n`. */
  numbered(op: number, n: number): void {
    this.byte(op);
    this.unsigned(n);
  }

  text(s: string): void {
    const letters = new TextEncoder().encode(s);
    this.unsigned(letters.length);
    this.bytes(letters);
  }

  /** What `write` writes, with its length in front. */
  sized(write: () => void): void {
    this.makeRoom(LENGTH);
    const start = (this.end += LENGTH);
    write();
    let rest = this.end - start;
    for (let k = LENGTH; k > 0; k--, rest >>= 7) this.cells[start - k] = (rest & 0x7f) | (k > 1 ? 0x80 : 0);
  }

  /** A section: its number, its size, how many items there are, and the items. */
  section<T>(id: number, items: readonly T[], write: (item: T, k: number) => void): void {
    this.byte(id);
    this.sized(() => {
      this.unsigned(items.length);
      items.forEach(write);
    });
  }

  private makeRoom(count: number): void {
    if (this.end + count <= this.cells.length) return;
    const before = this.cells;
    this.cells = new Uint8Array(Math.max(2 * before.length, this.end + count));
    this.cells.set(before);
  }
}
