// `thalweg build-native`: compiles the C++ engine where a compiler is, and says what is missing where none is.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { typeError } from '../tensor/errors.js';
import { findModule, inPackage, isCheckout, runNode } from './project.js';

/** Where a failed build leaves its output. */
export const nativeLog = (): string => inPackage('build', 'native.log');

function onPath(program: string): boolean {
  if (path.isAbsolute(program)) return existsSync(program);
  const folders = (process.env['PATH'] ?? '').split(path.delimiter).filter(Boolean);
  const name = process.platform === 'win32' ? `${program}.exe` : program;
  return folders.some((folder) => existsSync(path.join(folder, name)));
}

/** Programs that a build needs and this machine lacks. CMake finds Visual Studio's compiler by itself. */
export function compilerTools(): string[] {
  const compilers = process.env['CXX'] ? [process.env['CXX']] : ['c++', 'g++', 'clang++'];
  const missing = process.platform === 'win32' || compilers.some(onPath) ? [] : ['a C++ compiler'];
  return onPath('cmake') ? missing : [...missing, 'cmake'];
}

const installHint = (): string =>
  process.platform === 'darwin'
    ? 'run `xcode-select --install` and `brew install cmake`'
    : process.platform === 'linux'
      ? 'on Debian or Ubuntu: `apt-get install g++ cmake`'
      : 'install Visual Studio with C++ and CMake';

/**
 * Builds the addon into `build/Release` with cmake-js. Returns its exit code.
 * @throws TypeError that names what is missing and where to get it
 */
export async function buildNative(): Promise<number> {
  const where = 'thalweg build-native';
  const missing = compilerTools();
  if (missing.length > 0) throw typeError(where, `${missing.join(' and ')} not found`, installHint());
  if (!existsSync(inPackage('CMakeLists.txt')))
    throw typeError(where, 'the C++ sources are not in this package', 'install thalweg from npm or clone it');
  const cmake = findModule('cmake-js/bin/cmake-js');
  const needed = ['cmake-js', 'node-addon-api'].filter((name) => !findModule(`${name}/package.json`));
  if (!cmake || needed.length > 0)
    throw typeError(
      where,
      `${needed.join(' and ') || 'cmake-js'} not installed`,
      isCheckout() ? 'run `npm ci`' : `run \`npm install --save-dev ${needed.join(' ')}\``,
    );
  return runNode(cmake, ['compile', '--out', 'build'], inPackage());
}
