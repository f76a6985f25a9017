// Where this package stands, and running its other programs.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { typeError } from '../tensor/errors.js';

/** The package's folder. */
export const root = fileURLToPath(new URL('../..', import.meta.url));

/** A path inside the package. */
export const inPackage = (...parts: string[]): string => path.join(root, ...parts);

/** Whether this is the project's own checkout, not an installed package. */
export const isCheckout = (): boolean => existsSync(inPackage('tsconfig.apps.json'));

export const version = (): string =>
  (JSON.parse(readFileSync(inPackage('package.json'), 'utf8')) as { version: string }).version;

/** The file of another package's module as this package sees it; null if it is not installed. */
export function findModule(name: string): string | null {
  try {
    return createRequire(inPackage('package.json')).resolve(name);
  } catch {
    return null;
  }
}

/** Signals that a terminal sends to the whole group: the child ends itself, and this process waits for it. */
const SHARED = ['SIGINT', 'SIGTERM'] as const;

/** Runs a Node program with this process's terminal and returns its exit code. */
export function runNode(file: string, args: readonly string[], cwd = process.cwd()): Promise<number> {
  const child = spawn(process.execPath, [file, ...args], { stdio: 'inherit', cwd });
  const ignore = (): void => {};
  const forward = (): void => void child.kill('SIGTERM');
  process.on('SIGINT', ignore);
  process.on('SIGTERM', forward);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      for (const name of SHARED) process.off(name, name === 'SIGINT' ? ignore : forward);
      resolve(code ?? (signal === 'SIGINT' ? 130 : 1));
    });
  });
}

/**
 * The compiled program at a path below `build/apps`.
 * @throws TypeError that says what is needed, when it is not there
 */
export function appFile(where: string, ...parts: string[]): string {
  const file = inPackage('build', 'apps', ...parts);
  if (existsSync(file)) return file;
  if (isCheckout()) throw typeError(where, 'the programs are not compiled yet', 'run `npm run setup`');
  throw typeError(
    where,
    'this comes with the project, not with the installed package',
    'clone the repository and run `npm ci && npm run setup` there',
  );
}
