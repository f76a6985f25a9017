// The WASM engine: the module in build/wasm, instantiated over the heap, synchronously and on first use.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { heap } from '../memory/heap.js';
import { wasm } from '../memory/webassembly.js';
import { EngineUnavailable, type Engine, type Kernel } from './reference.js';
import { kernelNames, table, type KernelName } from './table.js';

const file = fileURLToPath(new URL('../../build/wasm/simd.wasm', import.meta.url));

/** Smallest module that uses a vector instruction. */
const SIMD_PROBE = Uint8Array.from([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98,
  11,
]);

/**
 * Instantiates the WASM engine.
 * @throws EngineUnavailable that says in one sentence why there is none.
 */
export function wasmEngine(): Engine {
  if (!wasm) throw new EngineUnavailable('wasm: this runtime has no WebAssembly');
  if (!wasm.validate(SIMD_PROBE)) throw new EngineUnavailable('wasm: this runtime has no WebAssembly SIMD');
  if (!existsSync(file))
    throw new EngineUnavailable('wasm: build/wasm/simd.wasm is missing; run `npm run build:wasm`');
  const module = new wasm.Module(readFileSync(file));
  const abort = (): never => {
    throw new Error('wasm: aborted');
  };
  const { exports } = new wasm.Instance(module, { env: { memory: heap.memory, abort } });
  return Object.fromEntries(kernelNames.map((name) => [name, checked(name, exports[name])])) as Record<
    KernelName,
    Kernel
  >;
}

function checked(name: KernelName, kernel: unknown): Kernel {
  const { sig } = table[name];
  if (typeof kernel !== 'function')
    throw new Error(`wasm: simd.wasm has no kernel ${name}(${sig}); run \`npm run build:wasm\``);
  if (kernel.length !== sig.length)
    throw new Error(`wasm: ${name} takes ${kernel.length} arguments, the table says ${sig.length} (${sig})`);
  return kernel as Kernel;
}
