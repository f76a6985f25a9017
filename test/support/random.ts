// Seeded randomness for tests. The seed comes from THALWEG_TEST_SEED or is fixed; a failing test prints it in its title.

export const SEED = Number(process.env['THALWEG_TEST_SEED'] ?? 20261123);

/** mulberry32: a small generator, so that tests do not depend on the code they test. */
export function generator(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A seed for each name, so that tests can run alone or in any order. */
export function seedOf(name: string): number {
  let hash = SEED >>> 0;
  for (const c of name) hash = Math.imul(hash ^ c.charCodeAt(0), 16777619) >>> 0;
  return hash;
}
