// `npm run bench [-- --only NAMES --quick --isas --memory --no-times --json FILE --compare FILE --html FILE --no-peers
// --without NAMES --install-peers]`: see README.md in this folder.
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import { parseArgs } from 'node:util';
import { changes, describeChanges, readResults } from './compare.js';
import { describeLimits, measureLimits, peakNow, type Limits } from './limits.js';
import { describeFootprints, measureMemory, type Footprint } from './memory.js';
import { page, type Row } from './page.js';
import { installPeers, startPeers, type Wanted } from './peers.js';
import { describeMachine, head, lines, machine, verdict } from './report.js';
import { runWork, sides, type Plan, type Side, type Work } from './runner.js';
import { steps } from './steps.bench.js';
import { GROUPS } from './works.js';

const OPTIONS = {
  only: { type: 'string' },
  quick: { type: 'boolean', default: false },
  isas: { type: 'boolean', default: false },
  times: { type: 'boolean', default: true },
  memory: { type: 'boolean', default: false },
  json: { type: 'string' },
  compare: { type: 'string' },
  html: { type: 'string' },
  peers: { type: 'boolean', default: true },
  without: { type: 'string' },
  'install-peers': { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
} as const;

/** The works whose `group/name` contains one of the words. */
function selected(only?: string): Work[] {
  const words = only?.split(',').map((word) => word.trim().toLowerCase()) ?? [''];
  const found = Object.entries(GROUPS).flatMap(([group, works]) =>
    works.filter(({ name }) => words.some((word) => `${group}/${name}`.toLowerCase().includes(word))),
  );
  if (found.length === 0) throw new Error(`no work's name contains "${only}"; --list shows them all`);
  return found;
}

/** Times the works and prints a line a figure. */
async function timeWorks(
  works: readonly Work[],
  found: readonly Side[],
  plan: Plan,
  limits: Limits,
): Promise<Row[]> {
  console.log(`${describeLimits(limits)}\n\n${head()}`);
  const rows: Row[] = [];
  const peakOf = ({ isa, threads }: Side): number | undefined => peakNow(isa, threads, limits);
  for (const work of works) {
    const { results, refused } = await runWork(work, found, plan, peakOf);
    if (results.length > 0) console.log(lines(work, results, limits));
    for (const reason of refused) console.log(`  none of ${reason}`);
    if (results.length > 0) rows.push({ work, results });
  }
  console.log(`\n${verdict(rows.flatMap((row) => row.results))}`);
  return rows;
}

/** Measures the memory of those works that are training steps; adds to `absent` who did not answer. */
async function weighSteps(works: readonly Work[], wanted: Wanted, absent: string[]): Promise<Footprint[]> {
  const chosen = works.filter((work) => steps.includes(work));
  const { list, silent } = await measureMemory(chosen, wanted);
  console.log(`\n${describeFootprints(list)}`);
  for (const reason of silent.filter((one) => !absent.includes(one))) {
    console.log(`absent: ${reason}`);
    absent.push(reason);
  }
  return list;
}

function write(file: string | undefined, text: string): void {
  if (!file) return;
  writeFileSync(file, text);
  console.log(`written to ${file}`);
}

const NO_LIMITS: Limits = { flops: {}, bandwidth: {}, absent: [] };

async function main(): Promise<void> {
  const { values: options } = parseArgs({ options: OPTIONS, allowNegative: true });
  const works = selected(options.only);
  if (options.list) return console.log(works.map(({ name }) => name).join('\n'));
  // Read now: it may be the file that this run writes, and a wrong name should not cost a run.
  const old = options.compare ? readResults(options.compare) : undefined;
  if (options['install-peers']) installPeers();
  const threads = [...new Set([1, Math.min(2, os.availableParallelism())])];
  const plan: Plan = options.quick
    ? { rounds: 1, seconds: 0.1, threads }
    : { rounds: 3, seconds: 0.25, threads };
  const left = options.without?.toLowerCase().split(',') ?? [];
  const wanted: Wanted = (name) => options.peers && !left.includes(name.toLowerCase());
  const where = machine();
  const peers = options.times ? await startPeers(threads, wanted, options.isas) : [];
  const { found, absent } = sides(peers, plan);
  console.log(describeMachine(where));
  for (const reason of absent) console.log(`absent: ${reason}`);
  // The isa of native first: bandwidth is measured by its vectors.
  const isas = [...new Set(found.filter(({ peer }) => !peer).map(({ isa }) => isa))];
  const limits = options.times ? measureLimits(isas, threads) : NO_LIMITS;
  const rows = options.times ? await timeWorks(works, found, plan, limits) : [];
  for (const peer of peers) peer.stop();
  const results = rows.flatMap((row) => row.results);
  if (old) console.log(`\n${describeChanges(changes(old, results))}`);
  const memory = options.memory ? await weighSteps(works, wanted, absent) : [];
  write(options.json, JSON.stringify({ machine: where, plan, limits, absent, results, memory }, null, 1));
  const groups = Object.entries(GROUPS).map(
    ([group, all]) => [group, rows.filter(({ work }) => all.includes(work))] as const,
  );
  write(options.html, page({ machine: where, limits, absent, groups, memory }));
}

main().catch((error: unknown) => {
  console.error(`bench: ${(error as Error).message}`);
  process.exitCode = 1;
});
