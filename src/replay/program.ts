// Programs: a plan's launches as something that an engine runs in one go. Addresses are final here.
import { activeAddon, backend, kernelsNow } from '../kernels/launch.js';
import { isPointer } from '../kernels/row.js';
import { table, type KernelName } from '../kernels/table.js';
import { kernelAlone } from '../kernels/threads.js';
import { isStrips, type Graph, type Instruction, type Launch, type Strip } from './graph.js';
import { loopProgram } from './loop.js';
import { nativeProgram } from './native.js';
import { wasmProgram } from './wasm.js';

/** A launch with addresses. */
export interface Call {
  readonly kernel: KernelName;
  readonly args: readonly number[];
}

/** A launch of a strip: what is added from strip to strip, and for each worker but the first. */
export interface StripCall extends Call {
  readonly steps: readonly number[];
  readonly workers: readonly number[];
  readonly last: readonly number[];
}

interface Place {
  readonly part: number;
  readonly index: number;
}
export type StripsItem = Place & { readonly strips: number; readonly body: readonly StripCall[] };
export type Item = (Place & { readonly call: Call }) | StripsItem;

export interface Program {
  /** Runs the instructions of one part. */
  run(part: number): void;
  /** Runs one part and adds the nanoseconds of each instruction to `into`. */
  time(part: number, into: Float64Array): void;
  release(): void;
}

/** Where a pointer of the graph lies. */
export type Address = (owner: number, delta: number) => number;

/** Bytes between a buffer's copies for the workers that run strips; 0 for a buffer that they share. */
type Apart = (owner: number) => number;

export function itemsOf(graph: Graph, address: Address): Item[] {
  const apart: Apart = (owner) => graph.buffers[owner]?.local ?? 0;
  return graph.instructions.map((instruction: Instruction, index): Item => {
    const { part } = instruction;
    if (!isStrips(instruction)) return { part, index, call: placed(instruction, instruction.args, address) };
    const body = instruction.body.map((strip) => placedStrip(strip, address, apart));
    return { part, index, strips: instruction.strips, body };
  });
}

function placed({ kernel, owners }: Launch, args: readonly number[], address: Address): Call {
  const { sig } = table[kernel];
  return { kernel, args: args.map((arg, k) => (isPointer(sig[k]!) ? address(owners[k]!, arg) : arg)) };
}

function placedStrip(strip: Strip, address: Address, apart: Apart): StripCall {
  const { sig } = table[strip.kernel];
  const workers = strip.owners.map((owner, k) => (isPointer(sig[k]!) ? apart(owner) : 0));
  return {
    ...placed(strip, strip.args, address),
    steps: strip.steps,
    workers,
    last: placed(strip, strip.last, address).args,
  };
}

/** The program on the engine in use. */
export function programOf(graph: Graph, address: Address, workers: number): Program {
  const items = itemsOf(graph, address);
  const native = activeAddon();
  if (native && native.missing.length === 0) return nativeProgram(items, native, workers);
  const engine = kernelsNow();
  return backend.name === 'wasm'
    ? wasmProgram(items, (kernel) => kernelAlone(engine, kernel), { engine, threads: workers })
    : loopProgram(items, (kernel) => engine[kernel]);
}
