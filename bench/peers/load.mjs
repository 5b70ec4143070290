// What every peer's program shares: arguments, a load of so many workflows with so many in flight, one line of JSON at the end.
// The work is the same for all: a workflow of ten steps, each step's result durable before the next one begins.
export const STEPS = 10;

/** --flight N --runs N --url postgres://… --folder DIR */
export function options() {
  const given = {};
  for (let i = 2; i + 1 < process.argv.length; i += 2) given[process.argv[i].replace(/^--/, "")] = process.argv[i + 1];
  return { flight: Number(given.flight ?? 1), runs: Number(given.runs ?? 100), url: given.url, folder: given.folder };
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** one(id) runs one workflow to its end and returns its last step's result, which must be STEPS. */
export async function drive({ flight, runs }, one) {
  const salt = `${process.pid}-${Date.now()}`;
  const go = async (total, prefix) => {
    let next = 0;
    const times = [];
    const lane = async () => {
      while (next < total) {
        const id = `${prefix}-${salt}-${next++}`;
        const began = performance.now();
        const last = await one(id);
        if (last !== STEPS) throw new Error(`${id} ended with ${JSON.stringify(last)}`);
        times.push(performance.now() - began);
      }
    };
    const began = performance.now();
    await Promise.all(Array.from({ length: Math.min(flight, total) }, lane));
    return { seconds: (performance.now() - began) / 1000, times };
  };
  await go(Math.min(runs, Math.max(flight, 20)), "warm");
  const { seconds, times } = await go(runs, "run");
  console.log(JSON.stringify({ runs, steps: runs * STEPS, seconds, per_second: (runs * STEPS) / seconds, p50_ms: median(times) }));
}
