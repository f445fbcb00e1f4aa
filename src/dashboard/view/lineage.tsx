import type { KeyRecord } from "../../../durable-objects/key-registry/api.ts";
import { utc } from "../format.ts";
import { pageUrl } from "../paths.ts";
import { Scroll, StatusBadge, Time } from "./parts.tsx";

/** The secrets of one lineage along time: which lived when, and where two of them overlap. Below it the same in a table. */

const WIDTH = 720;
const ROW_HEIGHT = 34;
const TOP = 8;
const AXIS_HEIGHT = 22;
const MIN_BAR = 3;

interface Life {
  readonly key: KeyRecord;
  readonly from: number;
  readonly to: number;
  /** Both work from here to `to`: the old one's last part. */
  readonly overlapFrom: number | null;
}

export function LineageDrawing({
  keys,
  present,
  now,
}: {
  readonly keys: readonly KeyRecord[];
  readonly present: string;
  readonly now: number;
}) {
  const lives = keys.map((key) => lifeOf(key, keys, now));
  const start = Math.min(...lives.map(({ from }) => from));
  const end = Math.max(now, ...lives.map(({ to, overlapFrom }) => (overlapFrom === null ? now : to)));
  // A margin, so that the present is seen to be inside.
  const span = Math.max(60_000, (end - start) * 1.06);
  const x = (time: number): number => ((Math.max(start, Math.min(time, start + span)) - start) / span) * WIDTH;
  const height = TOP + lives.length * ROW_HEIGHT + AXIS_HEIGHT;
  return (
    <>
      <Scroll name="Drawing of the lineage">
        <svg class="lineage" viewBox={`0 0 ${WIDTH} ${height}`} role="img" aria-label={sentenceOf(lives)}>
          {lives.map(({ key, from, to, overlapFrom }, index) => {
            const y = TOP + index * ROW_HEIGHT;
            const isOver = to <= now;
            const tone = key.status === "revoked" ? "revoked" : isOver ? "ended" : "";
            const width = Math.max(MIN_BAR, x(Math.min(to, start + span)) - x(from));
            return (
              <>
                <text class={key.id === present ? "strong" : ""} x={Math.min(x(from), WIDTH - 150)} y={y + 10}>
                  {key.hint}
                </text>
                <rect
                  class={`life ${tone}`}
                  x={x(from).toFixed(1)}
                  y={y + 15}
                  width={width.toFixed(1)}
                  height="9"
                  rx="3"
                />
                {overlapFrom === null ? null : (
                  <rect
                    class="overlap"
                    x={x(overlapFrom).toFixed(1)}
                    y={y + 15}
                    width={Math.max(MIN_BAR, x(to) - x(overlapFrom)).toFixed(1)}
                    height="9"
                    rx="3"
                  >
                    <title>{`Overlap until ${utc(to)}`}</title>
                  </rect>
                )}
              </>
            );
          })}
          <line class="axis" x1="0" x2={WIDTH} y1={height - AXIS_HEIGHT + 4} y2={height - AXIS_HEIGHT + 4} />
          {x(now) < 170 ? null : (
            <text x="0" y={height - 4}>
              {utc(start)}
            </text>
          )}
          <line class="now" x1={x(now).toFixed(1)} x2={x(now).toFixed(1)} y1="0" y2={height - AXIS_HEIGHT + 4} />
          <text x={Math.max(24, Math.min(WIDTH, x(now) + 10)).toFixed(1)} y={height - 4} text-anchor="end">
            now
          </text>
        </svg>
      </Scroll>
      <Scroll name="Keys of this lineage">
        <table class="table">
          <thead>
            <tr>
              <th scope="col">Key</th>
              <th scope="col">Status</th>
              <th scope="col">From</th>
              <th scope="col">Until</th>
            </tr>
          </thead>
          <tbody>
            {lives.toReversed().map(({ key, to, overlapFrom }) => (
              <tr>
                <th scope="row">
                  {key.id === present ? (
                    <b>
                      <code>{key.hint}</code>
                    </b>
                  ) : (
                    <a class="plain" href={pageUrl(`keys/${key.id}`)}>
                      <code>{key.hint}</code>
                    </a>
                  )}
                </th>
                <td>
                  <StatusBadge status={key.status} />
                </td>
                <td class="tight">
                  <Time at={key.createdAt} />
                </td>
                <td class="tight">
                  {Number.isFinite(to) ? <Time at={to} /> : <span class="soft">no end</span>}
                  {overlapFrom === null || to <= now ? null : <span class="soft"> (overlap)</span>}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </>
  );
}

function lifeOf(key: KeyRecord, keys: readonly KeyRecord[], now: number): Life {
  const ends = [key.revokedAt, key.notAfter, key.expiresAt].flatMap((text) =>
    text === null ? [] : [Date.parse(text)],
  );
  const to = Math.min(Number.POSITIVE_INFINITY, ...ends);
  const next = keys.find(({ rotatedFrom }) => rotatedFrom === key.id);
  const overlapFrom = next === undefined ? null : Date.parse(next.createdAt);
  const from = Math.min(Date.parse(key.createdAt), now);
  return { key, from, to, overlapFrom: overlapFrom !== null && overlapFrom < to ? overlapFrom : null };
}

function sentenceOf(lives: readonly Life[]): string {
  const parts = lives.map(({ key, from, to, overlapFrom }) => {
    const end = Number.isFinite(to) ? `to ${utc(to)}` : "without an end";
    const overlap = overlapFrom === null ? "" : `, overlapping with its replacement from ${utc(overlapFrom)}`;
    return `${key.hint} from ${utc(from)} ${end}${overlap}`;
  });
  return `Lineage: ${parts.join("; ")}`;
}
