/** Text of a `workerd serve` configuration. Only what the candidates use; the schema is node_modules/workerd/workerd.capnp. */

export interface WorkerService {
  readonly name: string;
  /** The main module, relative to the configuration's file. */
  readonly module: string;
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  readonly bindings: readonly Binding[];
  /** Durable Object classes of this Worker, all on SQLite. */
  readonly objectClasses: readonly string[];
}

export type Binding = { readonly name: string } & (
  | { readonly text: string }
  | { readonly kvNamespace: string }
  | { readonly queue: string }
  | { readonly objectNamespace: string }
  | { readonly service: string; readonly entrypoint?: string }
  /** A binding made by `RATE_LIMIT_MODULE`, in place of a kind that plain workerd does not know. */
  | { readonly rateLimit: true }
);

export interface ServerConfig {
  readonly workers: readonly WorkerService[];
  /** HTTP services elsewhere, by name: `127.0.0.1:PORT`. */
  readonly external: Readonly<Record<string, string>>;
  /** Sockets by name, each with the Worker it leads to; all on free loopback ports. */
  readonly sockets: Readonly<Record<string, string>>;
  /** Folder for the objects' SQLite files, relative to the configuration's file; needed with object classes. */
  readonly storage: string | null;
}

const RATE_LIMIT = "latchkey-bench:rate-limit";

/**
 * Plain workerd has no rate-limit binding. This one never refuses; on Cloudflare its counters are on the same machine, so that it
 * waits for no network there either.
 */
const RATE_LIMIT_MODULE = `export default function () {
  return { async limit() { return { success: true }; } };
}`;

const STORAGE = "objects";

/** The configuration's text. Loopback addresses are allowed: the origin is there. */
export function serverConfig(config: ServerConfig): string {
  const services = [
    ...config.workers.map((worker) => workerService(worker, config.storage !== null)),
    ...Object.entries(config.external).map(
      ([name, address]) => `(name = ${text(name)}, external = (address = ${text(address)}, http = ()))`,
    ),
    `(name = "internet", network = (allow = ["public", "private"]))`,
    ...(config.storage === null
      ? []
      : [`(name = ${text(STORAGE)}, disk = (path = ${text(config.storage)}, writable = true))`]),
  ];
  const sockets = Object.entries(config.sockets).map(
    ([name, service]) =>
      `(name = ${text(name)}, address = "127.0.0.1:0", http = (), service = ${designator(service, undefined)})`,
  );
  return `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = ${list(services)},
  sockets = ${list(sockets)},
  extensions = [(modules = [(name = ${text(RATE_LIMIT)}, internal = true, esModule = ${text(RATE_LIMIT_MODULE)})])],
);
`;
}

function workerService(worker: WorkerService, onDisk: boolean): string {
  const namespaces = worker.objectClasses.map(
    (name) => `(className = ${text(name)}, uniqueKey = ${text(`${worker.name}-${name}`)}, enableSql = true)`,
  );
  const objects =
    namespaces.length === 0
      ? ""
      : `
    durableObjectNamespaces = ${list(namespaces)},
    durableObjectStorage = ${onDisk ? `(localDisk = ${text(STORAGE)})` : "(inMemory = void)"},`;
  return `(name = ${text(worker.name)}, worker = (
    modules = [(name = "main", esModule = embed ${text(worker.module)})],
    compatibilityDate = ${text(worker.compatibilityDate)},
    compatibilityFlags = [${worker.compatibilityFlags.map(text).join(", ")}],
    bindings = ${list(worker.bindings.map((binding) => `(name = ${text(binding.name)}, ${bindingValue(binding)})`))},${objects}
  ))`;
}

function bindingValue(binding: Binding): string {
  if ("text" in binding) return `text = ${text(binding.text)}`;
  if ("kvNamespace" in binding) return `kvNamespace = ${text(binding.kvNamespace)}`;
  if ("queue" in binding) return `queue = ${text(binding.queue)}`;
  if ("objectNamespace" in binding) return `durableObjectNamespace = ${text(binding.objectNamespace)}`;
  if ("service" in binding) return `service = ${designator(binding.service, binding.entrypoint)}`;
  return `wrapped = (moduleName = ${text(RATE_LIMIT)})`;
}

function designator(service: string, entrypoint: string | undefined): string {
  return entrypoint === undefined ? text(service) : `(name = ${text(service)}, entrypoint = ${text(entrypoint)})`;
}

function list(items: readonly string[]): string {
  return items.length === 0 ? "[]" : `[\n    ${items.join(",\n    ")},\n  ]`;
}

/** Cap'n Proto's string literals are C's: JSON's escapes of ASCII text are among them. */
function text(value: string): string {
  if (/[^\n -~]/.test(value))
    throw new Error(`a workerd configuration here is plain ASCII, not ${JSON.stringify(value)}`);
  return JSON.stringify(value);
}
