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

/** A whole number from 0 to 2^31 - 1 (LEB128). */
export function unsigned(n: number): number[] {
  const bytes: number[] = [];
  let rest = n;
  for (; rest >= 0x80; rest >>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return bytes;
}

/** Appends the low 32 bits of a whole number (signed LEB128): an address above 2 GiB is a negative number to WebAssembly. */
export function signed(to: number[], n: number): void {
  let rest = n | 0;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    // The last byte's bit 6 is the sign.
    if (rest === (low & 0x40 ? -1 : 0)) return void to.push(low);
    to.push(low | 0x80);
  }
}

const scratch = new DataView(new ArrayBuffer(8));

/** Appends the eight bytes of a double. */
export function double(to: number[], x: number): void {
  scratch.setFloat64(0, x, true);
  for (let k = 0; k < 8; k++) to.push(scratch.getUint8(k));
}

/** Appends `type.const x`. */
export function constant(to: number[], type: number, x: number): void {
  to.push(type === F64 ? OP.f64 : OP.i32);
  if (type === F64) double(to, x);
  else signed(to, x);
}

/** Bytes with their number in front. */
export const sized = (content: readonly number[]): number[] => unsigned(content.length).concat(content);

export const text = (s: string): number[] => sized([...new TextEncoder().encode(s)]);

/** A section: its number, its size, how many items there are, and the items. */
export function section(id: number, items: readonly (readonly number[])[]): number[] {
  const content = unsigned(items.length).concat(...items);
  // Not spread: that makes an object of every byte.
  return [id].concat(unsigned(content.length), content);
}
