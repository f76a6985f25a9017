// Everything between a fresh clone and a run: packages, WASM module, JavaScript, native addon. Each step runs only when
// its product is missing or older than what it is made from. Needs nothing but Node and npm.
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
/** @param {string[]} parts */
const at = (...parts) => path.join(root, ...parts);
/** @param {string} line */
const say = (line) => console.error(`setup: ${line}`);

/**
 * Newest change at or below a path, 0 when there is none. Folders count, so that a removed file is noticed.
 * @param {string} file
 * @returns {number}
 */
function changed(file) {
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  if (!stat) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...fs.readdirSync(file).map((name) => changed(path.join(file, name))));
}

/** @param {string[]} files @param {string} product */
const stale = (files, product) => Math.max(...files.map((file) => changed(at(file)))) > changed(product);
/** @param {string} step */
const stamp = (step) => at('build', '.stamps', step);

/** Runs a program of node_modules. @param {string} program @param {string[]} args */
const run = (program, ...args) =>
  spawnSync(process.execPath, [at('node_modules', program), ...args], { cwd: root, encoding: 'utf8' });

/** @typedef {{ status: number | null, stdout: string, stderr: string }} Outcome */

/** The line that says what went wrong. @param {Outcome} outcome */
function firstError({ stdout, stderr }) {
  const lines = `${stderr}\n${stdout}`.split('\n').map((line) => line.trim());
  const found =
    lines.find((line) => /\berror:|CMake Error/.test(line)) ?? lines.find(Boolean) ?? 'no message';
  return found.replace(`${root}${path.sep}`, '').slice(0, 200);
}

/** Ends the set-up with all that the program said. @param {string} what @param {Outcome} outcome */
function must(what, outcome) {
  if (outcome.status === 0) return;
  process.stderr.write(outcome.stdout + outcome.stderr);
  throw new Error(`${what} failed`);
}

/**
 * Why the native engine cannot be built here, or null when it can be tried.
 * @param {NodeJS.ProcessEnv} env
 * @returns {string | null}
 */
export function whyNoNative(env = process.env) {
  const windows = process.platform === 'win32';
  const folders = (env['PATH'] ?? env['Path'] ?? '').split(path.delimiter).filter(Boolean);
  /** @param {string} program */
  const have = (program) =>
    path.isAbsolute(program)
      ? fs.existsSync(program)
      : folders.some((folder) => fs.existsSync(path.join(folder, windows ? `${program}.exe` : program)));
  const compilers = env['CXX'] ? [env['CXX']] : ['c++', 'g++', 'clang++'];
  // On Windows CMake finds the compiler without PATH.
  if (!windows && !compilers.some(have)) return 'no C++ compiler';
  return have('cmake') ? null : 'no cmake';
}

function installPackages() {
  say('installing packages (npm ci)');
  const npm = process.env['npm_execpath'];
  /** @type {import('node:child_process').ExecFileSyncOptions} */
  const options = { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] };
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  if (npm?.endsWith('.js')) execFileSync(process.execPath, [npm, ...args], options);
  else execFileSync('npm', args, { ...options, shell: process.platform === 'win32' });
  // npm leaves the time of an unchanged tree alone.
  const now = new Date();
  fs.utimesSync(at('node_modules', '.package-lock.json'), now, now);
}

function buildWasm() {
  say('building the WASM kernels');
  fs.mkdirSync(at('build', 'wasm'), { recursive: true });
  for (const target of ['simd', 'relaxed'])
    must(
      `the WASM build ${target}`,
      run('assemblyscript/bin/asc.js', '--config', 'asconfig.json', '--target', target),
    );
}

/** @param {string} config @param {string} what */
function compileTypeScript(config, what) {
  say(`compiling ${what}`);
  must(`compiling ${what}`, run('typescript/bin/tsc', '-p', config));
}

/** Builds the addon; returns why it could not, or an empty string. */
function buildNative() {
  say('building the native kernels (about a minute)');
  const cache = at('build', 'CMakeCache.txt');
  const home =
    fs.existsSync(cache) && /^CMAKE_HOME_DIRECTORY:\w+=(.*)$/m.exec(fs.readFileSync(cache, 'utf8'));
  // A cache that was made elsewhere (a moved or copied checkout) stops CMake.
  if (home && path.resolve(home[1] ?? '') !== root) {
    fs.rmSync(cache);
    fs.rmSync(at('build', 'CMakeFiles'), { recursive: true, force: true });
  }
  const strict = process.env['THALWEG_WERROR'] ? ['--CDTHALWEG_WERROR=ON'] : [];
  const outcome = run('cmake-js/bin/cmake-js', 'compile', '--out', 'build', ...strict);
  if (outcome.status === 0) return '';
  fs.mkdirSync(at('build'), { recursive: true });
  fs.writeFileSync(at('build', 'native.log'), outcome.stdout + outcome.stderr);
  return `build failed: ${firstError(outcome)} (all of it in build/native.log)`;
}

/**
 * @typedef {object} Step
 * @property {string} name
 * @property {string[]} from what it is made from
 * @property {() => string | void} make returns what to remember in its stamp
 */

const LOCK = 'package-lock.json';
/** @type {Step[]} */
const steps = [
  { name: 'wasm', from: ['assembly', 'asconfig.json', LOCK], make: buildWasm },
  { name: 'ts', from: ['src', 'tsconfig.json', LOCK], make: () => compileTypeScript('tsconfig.json', 'src') },
  {
    name: 'apps',
    // The sources too: examples and benchmarks are type-checked against the library's types.
    from: ['examples', 'bench', 'src', 'tsconfig.json', 'tsconfig.apps.json', LOCK],
    make: () => compileTypeScript('tsconfig.apps.json', 'examples and benchmarks'),
  },
  { name: 'native', from: ['native', 'CMakeLists.txt', LOCK], make: buildNative },
];

/** What a step makes last, beside its stamp. @type {Record<string, string>} */
const products = {
  wasm: 'build/wasm/relaxed.wasm',
  ts: 'dist/index.js',
  apps: 'build/apps/bench',
};

const packagesAreStale = () => stale([LOCK], at('node_modules', '.package-lock.json'));
/** @param {Step} step */
const due = ({ name, from }) =>
  (name in products && !fs.existsSync(at(/** @type {string} */ (products[name])))) ||
  stale(from, stamp(name));

/** @param {Step} step */
function perform({ name, make }) {
  const began = new Date();
  const remember = make() ?? '';
  fs.mkdirSync(at('build', '.stamps'), { recursive: true });
  fs.writeFileSync(stamp(name), remember);
  // The time before the work: a file edited meanwhile is newer.
  fs.utimesSync(stamp(name), began, began);
}

/** Runs `work` while no other set-up of this checkout does. @param {() => void} work */
function exclusively(work) {
  const lock = at('build', '.setup.lock');
  fs.mkdirSync(at('build'), { recursive: true });
  for (let told = false; ; told = true) {
    try {
      fs.writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
      const owner = Number(fs.existsSync(lock) ? fs.readFileSync(lock, 'utf8') : 0);
      if (owner > 0 && !alive(owner)) fs.rmSync(lock, { force: true });
      else if (!told) say(`waiting for another set-up (process ${owner})`);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    }
  }
  try {
    work();
  } finally {
    fs.rmSync(lock, { force: true });
  }
}

/** @param {number} pid */
function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}

/** Brings up to date what is not; `only` names steps. @param {string[]} only */
export function setup(only = []) {
  const unknown = only.filter((name) => !steps.some((step) => step.name === name));
  if (unknown.length > 0)
    throw new Error(`no step "${unknown[0]}"; the steps are ${steps.map((s) => s.name).join(', ')}`);
  const wanted = steps.filter(({ name }) => only.length === 0 || only.includes(name));
  const absent = whyNoNative();
  /** @param {Step} step */
  const doable = ({ name }) => name !== 'native' || absent === null;
  const todo = () => wanted.filter((step) => doable(step) && due(step));
  if (packagesAreStale() || todo().length > 0)
    exclusively(() => {
      if (packagesAreStale()) installPackages();
      for (const step of todo()) perform(step);
    });
  if (!wanted.some(({ name }) => name === 'native')) return;
  const failure = absent ?? fs.readFileSync(stamp('native'), 'utf8');
  if (failure) say(`the native engine is not built (${failure}); WASM is used`);
}

if (process.argv[1] && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    setup(process.argv.slice(2));
  } catch (error) {
    say(/** @type {Error} */ (error).message);
    process.exitCode = 1;
  }
}
