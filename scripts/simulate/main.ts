import { runWorld } from "./worlds/random-world.ts";
export async function simulate(): Promise<number> {
  const [first = 1, count = 50] = process.argv.slice(2).map(Number);
  const plant = (process.argv[4] ?? null) as never;
  const t = performance.now();
  let happenings = 0,
    requests = 0,
    admitted = 0,
    violated = 0;
  for (let seed = first; seed < first + count; seed++) {
    const r = await runWorld(seed, plant);
    happenings += r.happenings;
    requests += r.requests;
    admitted += r.admitted;
    if (r.violations.length) {
      violated++;
      console.log(seed, r.violations.length, JSON.stringify(r.violations[0]), r.trace.digest());
    }
    if (process.argv[5]) console.log(JSON.stringify(r.plan.lineages), JSON.stringify(r.plan.owners), r.plan.brokerShards, r.plan.colos.map(c=>c.code).join(), r.plan.isolatesPerColo, r.plan.home, JSON.stringify(r.plan.costs));
    if (count === 1) {
      console.log(JSON.stringify(r.plan));
      console.log(r.trace.lines.join("\n"));
    }
  }
  console.log({
    count,
    happenings,
    requests,
    admitted,
    violated,
    msPerSeed: (performance.now() - t) / count,
    cpu: process.cpuUsage().user / 1000 / count,
  });
  return 0;
}
