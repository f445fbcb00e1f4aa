import type { HttpForm } from "./wire.ts";

/** `sinks` of `gateway.config.ts`: who is given the events themselves. Secrets stand in variables, which are named here. */
export type SinkConfig = HttpSink | BucketSink | DatasetSink;

interface AnySink {
  /** Whose events it is given; `"*"` for every workspace's. Events of keys that nobody knows are `default`'s. */
  readonly workspaces: "*" | readonly string[];
  /** The binding of its own queue. */
  readonly queue: string;
  /** The binding of that queue's dead-letter queue: what the receiver refuses for good is put there at once. */
  readonly deadQueue: string;
}

export interface HttpSink extends AnySink {
  readonly type: HttpForm;
  /** The variable with the whole URL that is posted to: `https://es.example.com:9243/_bulk`. */
  readonly urlFromEnv: string;
  /** The variable with the credential alone: sent as `ApiKey` to Elasticsearch, `Splunk` to Splunk, else `Bearer`. */
  readonly tokenFromEnv?: string;
  /** Elasticsearch alone: the index or data stream. Default `latchkey-events`. */
  readonly index?: string;
  /** CloudEvents' and Splunk's `source`: what names this deployment. Default `/_latchkey`. */
  readonly source?: string;
}

export interface BucketSink extends AnySink {
  readonly type: "r2";
  /** The binding of the bucket. */
  readonly bucket: string;
}

export interface DatasetSink extends AnySink {
  readonly type: "analytics-engine";
  /** The binding of the dataset. */
  readonly dataset: string;
  /** What one invocation of the Worker may write; a dataset drops what is more without a word. Default 25. */
  readonly pointsPerInvocation?: number;
}

export type Sinks = Readonly<Record<string, SinkConfig>>;

/** As Cloudflare's page of limits has it in the copy that we could read; later ones may allow more. */
export const DEFAULT_POINTS = 25;
export const DEFAULT_INDEX = "latchkey-events";
export const DEFAULT_SOURCE = "/_latchkey";
