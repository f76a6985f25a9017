// The WASM engine: a module of build/wasm, instantiated over the heap, synchronously and on first use. There are two builds
// of one source: `relaxed` may fuse multiply and add in products and transcendental functions, `simd` never does.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { heap } from '../memory/heap.js';
import { wasm } from '../memory/webassembly.js';
import { checkChoice } from '../tensor/errors.js';
import { TALLEST } from './helper.js';
import { EngineUnavailable, type Engine, type Kernel } from './reference.js';
import { kernelNames, table, type KernelName } from './table.js';
import { sharedEngine } from './threads.js';

/** Best first. */
const BUILDS = ['relaxed', 'simd'] as const;
type Build = (typeof BUILDS)[number];

/** A module whose one function, () -> v128, has this body. */
const probe = (...body: number[]): Uint8Array =>
  // Magic number and version; one type; one function of it; its code: sizes, no locals, the body, end.
  Uint8Array.from([
    ...[0, 97, 115, 109, 1, 0, 0, 0],
    ...[1, 5, 1, 96, 0, 1, 123],
    ...[3, 2, 1, 0],
    ...[10, body.length + 4, 1, body.length + 2, 0, ...body, 11],
  ]);
const ZERO = [65, 0, 253, 15];
/** i8x16.popcnt, and f32x4.relaxed_madd, each of i8x16.splat(0). */
const PROBES: Readonly<Record<Build, Uint8Array>> = {
  simd: probe(...ZERO, 253, 98),
  relaxed: probe(...ZERO, ...ZERO, ...ZERO, 253, 133, 2),
};

/** The builds that this runtime takes, best first. */
export const wasmBuilds = (): Build[] => (wasm ? BUILDS.filter((build) => wasm.validate(PROBES[build])) : []);

/** The build asked for, else the best. */
function choose(asked: string | undefined): Build {
  const [best, ...others] = wasmBuilds();
  if (!wasm) throw new EngineUnavailable('wasm: this runtime has no WebAssembly');
  if (!best) throw new EngineUnavailable('wasm: this runtime has no WebAssembly SIMD');
  if (!asked) return best;
  const build = checkChoice('THALWEG_WASM', 'build', asked, BUILDS);
  if (build !== best && !others.includes(build))
    throw new Error(
      `THALWEG_WASM: Node ${process.versions.node} has no relaxed SIMD, the first that has is Node 22; unset it or use "simd"`,
    );
  return build;
}

let running: Build | undefined;

/** The instruction set of the build that runs. */
export const wasmIsa = (): string => (running === 'relaxed' ? 'relaxed simd128' : 'simd128');

/**
 * Instantiates the WASM engine: the build asked for, by default in THALWEG_WASM, else the best.
 * @throws EngineUnavailable that says in one sentence why there is none.
 * @throws Error when the build asked for does not exist, or this runtime does not take it.
 */
export function wasmEngine(asked = process.env['THALWEG_WASM']): Engine {
  const build = choose(asked);
  const name = `${build}.wasm`;
  const file = fileURLToPath(new URL(`../../build/wasm/${name}`, import.meta.url));
  if (!existsSync(file))
    throw new EngineUnavailable(`wasm: build/wasm/${name} is missing; run \`npm run build:wasm\``);
  const module = new wasm.Module(readFileSync(file));
  const abort = (): never => {
    throw new Error('wasm: aborted');
  };
  const { exports } = new wasm.Instance(module, {
    env: { memory: heap.memory, abort },
    tall: { TALLEST },
  });
  running = build;
  const kernel = (row: KernelName): Kernel => checked(name, row, exports[row]);
  const alone = Object.fromEntries(kernelNames.map((row) => [row, kernel(row)])) as Record<
    KernelName,
    Kernel
  >;
  return sharedEngine(alone, module, exports['usePart'] as (index: number, count: number) => void);
}

function checked(file: string, name: KernelName, kernel: unknown): Kernel {
  const { sig } = table[name];
  if (typeof kernel !== 'function')
    throw new Error(`wasm: ${file} has no kernel ${name}(${sig}); run \`npm run build:wasm\``);
  if (kernel.length !== sig.length)
    throw new Error(`wasm: ${name} takes ${kernel.length} arguments, the table says ${sig.length} (${sig})`);
  return kernel as Kernel;
}
