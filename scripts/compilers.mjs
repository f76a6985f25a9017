// Compiles the native engine with compilers that need not be this machine's own, so that no line stands uncompiled until
// somebody with another machine meets it: for 64-bit ARM, and with clang, the compiler of macOS and FreeBSD. Nothing is run;
// build/<name>/thalweg.node is there for tests and emulators.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const HEADERS = ['node-api-headers/include', 'node-addon-api'];
const TRIPLE = 'aarch64-linux-gnu';
const ARM = ['-DCMAKE_SYSTEM_NAME=Linux', '-DCMAKE_SYSTEM_PROCESSOR=aarch64'];

/** @typedef {{ compiler: string, needs?: string, crosses?: boolean, settings: string[] }} Target */
/** @type {Record<string, Target>} */
const targets = {
  neon: { compiler: `${TRIPLE}-g++`, crosses: true, settings: ARM },
  clang: { compiler: 'clang++', settings: [] },
  'clang-neon': {
    compiler: 'clang++',
    // It takes the libraries of the other.
    needs: `${TRIPLE}-g++`,
    crosses: true,
    settings: [...ARM, `-DCMAKE_CXX_COMPILER_TARGET=${TRIPLE}`],
  },
};

/** @param {string} program @param {string[]} args */
const run = (program, ...args) => spawnSync(program, args, { cwd: root, encoding: 'utf8' });

/** Ends with all that the program said if it fails. @param {string} program @param {string[]} args */
function must(program, ...args) {
  const { status, stdout, stderr, error } = run(program, ...args);
  if (status === 0) return;
  process.stderr.write(error ? `${error.message}\n` : stdout + stderr);
  process.exit(1);
}

/** Why there is nothing to do for a target here, or null. @param {Target} target */
function whyNot({ compiler, needs, crosses }) {
  if (crosses && process.arch === 'arm64') return 'the native engine of this machine is the NEON one';
  const programs = [compiler, ...(needs ? [needs] : []), 'cmake'];
  const absent = programs.find((program) => run(program, '--version').status !== 0);
  return absent ? `no ${absent}` : null;
}

/** @param {string} name @param {Target} target */
function compile(name, { compiler, settings }) {
  const folder = path.join(root, 'build', name);
  const include = HEADERS.map((header) => path.join(root, 'node_modules', header)).join(';');
  // A cache that was made elsewhere (a moved or copied checkout) stops CMake.
  fs.rmSync(folder, { recursive: true, force: true });
  const common = [`-DCMAKE_CXX_COMPILER=${compiler}`, '-DTHALWEG_WERROR=ON', `-DCMAKE_JS_INC=${include}`];
  must('cmake', '-S', root, '-B', folder, ...settings, ...common);
  must('cmake', '--build', folder, '--parallel', '2');
}

for (const name of process.argv.slice(2)) {
  const target = targets[name];
  if (!target) throw new Error(`no target "${name}"; the targets are ${Object.keys(targets).join(', ')}`);
  const reason = whyNot(target);
  if (!reason) compile(name, target);
  console.log(`${name}: ${reason ? `skipped (${reason})` : 'compiled'}`);
}
