// Compiles the native engine for 64-bit ARM where a cross compiler is installed, so that its NEON lines never stand uncompiled
// between two visits to such a machine. Nothing is run; build/neon/thalweg.node is there for an emulator.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const folder = path.join(root, 'build', 'neon');
const COMPILER = 'aarch64-linux-gnu-g++';
const HEADERS = ['node-api-headers/include', 'node-addon-api'];

/** @param {string} program @param {string[]} args */
const run = (program, ...args) => spawnSync(program, args, { cwd: root, encoding: 'utf8' });

/** Ends with all that the program said if it fails. @param {string} program @param {string[]} args */
function must(program, ...args) {
  const { status, stdout, stderr, error } = run(program, ...args);
  if (status === 0) return;
  process.stderr.write(error ? `${error.message}\n` : stdout + stderr);
  process.exit(1);
}

/** Why there is nothing to do here, or null. */
function whyNot() {
  if (process.arch === 'arm64') return 'the native engine of this machine is the NEON one';
  const absent = [COMPILER, 'cmake'].find((program) => run(program, '--version').status !== 0);
  return absent ? `no ${absent}` : null;
}

function compile() {
  const include = HEADERS.map((name) => path.join(root, 'node_modules', name)).join(';');
  // A cache that was made elsewhere (a moved or copied checkout) stops CMake.
  fs.rmSync(folder, { recursive: true, force: true });
  const target = ['-DCMAKE_SYSTEM_NAME=Linux', '-DCMAKE_SYSTEM_PROCESSOR=aarch64'];
  const settings = [`-DCMAKE_CXX_COMPILER=${COMPILER}`, '-DTHALWEG_WERROR=ON', `-DCMAKE_JS_INC=${include}`];
  must('cmake', '-S', root, '-B', folder, ...target, ...settings);
  must('cmake', '--build', folder, '--parallel', '2');
}

const reason = whyNot();
if (!reason) compile();
console.log(`neon: ${reason ? `skipped (${reason})` : 'compiled'}`);
