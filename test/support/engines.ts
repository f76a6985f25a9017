// Every engine, instruction set and number of threads that this machine has, for tests of kernels.
import { activeAddon } from '../../src/kernels/launch.js';
import { referenceEngine, type Engine } from '../../src/kernels/reference.js';
import { wasmBuilds, wasmEngine } from '../../src/kernels/wasm.js';

export interface Candidate {
  label: string;
  /** The engine, with its settings made: again before every test, as others change them. */
  engine: () => Engine;
}

const only = process.env['THALWEG_BACKEND'];

export function candidates(): Candidate[] {
  const found: Candidate[] = [{ label: 'reference', engine: referenceEngine }];
  if (!only || only === 'native' || only === 'wasm')
    for (const build of wasmBuilds()) found.push({ label: `wasm ${build}`, engine: () => wasmEngine(build) });
  const native = activeAddon();
  for (const isa of native?.addon.isas() ?? [])
    for (const threads of [1, 2])
      found.push({
        label: `native ${isa}, ${threads} thread(s)`,
        engine: () => {
          native!.addon.setIsa(isa);
          native!.addon.setThreads(threads);
          return native!.engine;
        },
      });
  return found;
}

const best = activeAddon()?.addon.isa();

/** Puts the instruction set back that was in use. */
export function restoreIsa(): void {
  if (best) activeAddon()!.addon.setIsa(best);
}
