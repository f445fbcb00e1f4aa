/**
 * `npm run check:lock`: the lock file serves every machine. Each native package's part for each platform is in it (npm leaves
 * out those that it could not find while writing, and then `npm ci` fails elsewhere), it names no registry's host, and every
 * version in package.json is exact.
 */
import { readFileSync } from "node:fs";
import path from "node:path";

interface LockedPackage {
  readonly version?: string;
  readonly resolved?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

const ROOT = path.resolve(import.meta.dirname, "..");
const read = (file: string): unknown => JSON.parse(readFileSync(path.join(ROOT, file), "utf8"));

/** Where Node would look for `name` from the package at `from`: beside it, and in each folder above. */
function isLocked(packages: Readonly<Record<string, LockedPackage>>, from: string, name: string): boolean {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/node_modules/")))) {
    const place = folder === "" ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
    if (packages[place] !== undefined) return true;
    if (folder === "") return false;
  }
}

// npm's own formats; a wrong shape fails below.
const { packages } = read("package-lock.json") as { packages: Readonly<Record<string, LockedPackage>> };
const manifest = read("package.json") as Manifest;

const findings: string[] = [];
for (const [place, { resolved, optionalDependencies }] of Object.entries(packages)) {
  if (resolved?.includes("://") === true) findings.push(`${place} names a host: remove "resolved"`);
  for (const name of Object.keys(optionalDependencies ?? {})) {
    if (!isLocked(packages, place, name)) findings.push(`${place} lacks ${name}`);
  }
}
for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
  if (!/^\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?$/.test(version)) findings.push(`${name} is not pinned: ${version}`);
}
const workerds = Object.entries(packages).filter(([place]) => place.endsWith("node_modules/workerd"));
if (workerds.length !== 1)
  findings.push(`there are ${workerds.length} versions of workerd: ${workerds.map(([place]) => place).join(", ")}`);

for (const finding of findings) console.error(finding);
if (findings.length === 0)
  console.log(`lock: ${Object.keys(packages).length} packages, every platform's parts, no host`);
else process.exitCode = 1;
