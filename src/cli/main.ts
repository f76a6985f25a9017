#!/usr/bin/env node
// The command `thalweg`. Each subcommand is a row; it gets its arguments and returns an exit code.
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { rangeError, typeError } from '../tensor/errors.js';
import { parseReport, renderReport } from '../train/report.js';
import { doctor } from './doctor.js';
import { buildNative } from './native.js';
import { knownName, parseOptions, runMain } from './options.js';
import { appFile, runNode, version } from './project.js';

interface Command {
  usage: string;
  help: string;
  run(args: string[]): number | Promise<number>;
}

/** Trainings that `thalweg train NAME` knows, by their folder in examples/. */
const JOBS = ['mnist'] as const;

function train(args: string[]): Promise<number> {
  const [job, ...rest] = args;
  if (job === undefined || job.startsWith('-'))
    throw typeError('thalweg train', 'what to train is missing', `thalweg train ${JOBS.join(' | ')}`);
  knownName('thalweg train', 'training', job, JOBS);
  return runNode(appFile('thalweg train', 'examples', job, 'main.js'), rest);
}

function readText(where: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw rangeError(where, code === 'ENOENT' ? `${file}: there is no such file` : message);
  }
}

const REPORT_OPTIONS = {
  out: { kind: 'text', value: 'FILE.html', help: 'where to write the page' },
} as const;

function report(args: string[]): number {
  const where = 'thalweg report';
  const { values, positionals } = parseOptions(where, args, REPORT_OPTIONS);
  const [file, surplus] = positionals;
  if (file === undefined) throw typeError(where, 'the saved run is missing', 'thalweg report FILE.json');
  if (surplus !== undefined) throw typeError(where, `one file at a time, got "${surplus}" too`);
  const out = values.out ?? `${file.replace(/\.json$/i, '')}.html`;
  writeFileSync(out, renderReport(parseReport(file, readText(where, file))));
  console.log(out);
  return 0;
}

function only(where: string, args: string[]): void {
  const { positionals } = parseOptions(where, args, {});
  if (positionals.length > 0) throw typeError(where, `takes no arguments, got "${positionals[0]}"`);
}

const COMMANDS: Readonly<Record<string, Command>> = {
  doctor: {
    usage: 'thalweg doctor',
    help: 'which engine runs and why, what is missing, how to fix it',
    run: (args) => {
      only('thalweg doctor', args);
      return doctor();
    },
  },
  train: {
    usage: 'thalweg train mnist [OPTIONS]',
    help: 'train on MNIST with eleven optimizers and write a report; --help lists its options',
    run: train,
  },
  bench: {
    usage: 'thalweg bench [OPTIONS]',
    help: 'measure kernels, optimizers and training steps',
    run: (args) => runNode(appFile('thalweg bench', 'bench', 'main.js'), args),
  },
  report: {
    usage: 'thalweg report FILE.json [--out FILE.html]',
    help: 'render a saved run as one HTML page',
    run: report,
  },
  'build-native': {
    usage: 'thalweg build-native',
    help: 'compile the C++ engine on this machine',
    run: (args) => {
      only('thalweg build-native', args);
      return buildNative();
    },
  },
};

const isHelp = (arg: string | undefined): boolean => arg === '--help' || arg === '-h';

function help(): string {
  const rows = Object.values(COMMANDS);
  const width = Math.max(...rows.map(({ usage }) => usage.length));
  return [
    'thalweg: tensors, gradients and optimizers for Node.',
    '',
    ...rows.map(({ usage, help: text }) => `  ${usage.padEnd(width)}  ${text}`),
    '',
    '  thalweg --version, thalweg COMMAND --help',
  ].join('\n');
}

/** Runs one command line; returns the exit code. Errors are thrown. */
export async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || isHelp(name)) {
    console.log(help());
    return name === undefined ? 1 : 0;
  }
  if (name === '--version' || name === '-v') {
    console.log(version());
    return 0;
  }
  knownName('thalweg', name.startsWith('-') ? 'option' : 'command', name, Object.keys(COMMANDS));
  const command = COMMANDS[name]!;
  // The programs behind these two have a help of their own.
  if (isHelp(rest[0]) && name !== 'bench') {
    console.log(`${command.usage}\n  ${command.help}`);
    return 0;
  }
  return command.run(rest);
}

const started = process.argv[1];
if (started && realpathSync(started) === fileURLToPath(import.meta.url))
  void runMain(() => main(process.argv.slice(2)));
