import { utc } from "../format.ts";
import { Scroll } from "./parts.tsx";

/**
 * A chart is a table that a script may draw: what it draws it reads from the table, which stays below for whoever wants the numbers.
 * Without a script there is a plain drawing in its place.
 */

export interface Line {
  readonly name: string;
  readonly tone: "one" | "two" | "three" | "bad" | "warn";
  /** One for each time; `null` where nothing was measured. */
  readonly values: readonly (number | null)[];
}

interface ChartProps {
  readonly title: string;
  /** Starts of the buckets, epoch ms. */
  readonly times: readonly number[];
  readonly lines: readonly Line[];
  readonly kind?: "stack" | "lines";
  readonly show: (value: number) => string;
  /** What the axis is written in. */
  readonly unit?: "count" | "ms" | "percent";
  /** A horizontal line, of an objective for instance. */
  readonly mark?: number;
}

export function Chart({ title, times, lines, kind = "stack", show, unit = "count", mark }: ChartProps) {
  return (
    <figure class="chart" data-kind={kind} data-unit={unit} data-mark={mark} aria-label={title}>
      <div class="legend" aria-hidden="true">
        {lines.map(({ name, tone }) => (
          <span>
            <i class={`swatch ${tone}`} />
            {name}
          </span>
        ))}
      </div>
      <div class="plot" aria-hidden="true">
        <Drawing lines={lines} kind={kind} />
      </div>
      <details class="numbers">
        <summary>Show as a table</summary>
        <Scroll name={`${title}, as a table`}>
          <table class="table compact">
            <thead>
              <tr>
                <th scope="col">Time</th>
                {lines.map(({ name, tone }) => (
                  <th scope="col" class="number" data-tone={tone}>
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {times.map((time, index) => (
                <tr>
                  <th scope="row" data-time={time / 1_000}>
                    <time datetime={new Date(time).toISOString()} title={utc(time)}>
                      {utc(time)}
                    </time>
                  </th>
                  {lines.map(({ values }) => {
                    const value = values[index] ?? null;
                    return (
                      <td class="number" data-value={value ?? ""}>
                        {value === null ? "–" : show(value)}
                      </td>
                    );
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </details>
    </figure>
  );
}

const WIDTH = 1_000;
const HEIGHT = 200;

function Drawing({ lines, kind }: { readonly lines: readonly Line[]; readonly kind: "stack" | "lines" }) {
  const stacked = kind === "stack" ? stack(lines) : lines.map(({ values }) => values.map((value) => value ?? 0));
  const top = Math.max(1e-9, ...stacked.flat());
  return (
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" focusable="false">
      {lines
        .map(({ tone }, index) => (
          <path class={`line ${tone} ${kind}`} d={pathOf(stacked[index] ?? [], top, kind === "stack")} />
        ))
        .toReversed()}
    </svg>
  );
}

function stack(lines: readonly Line[]): readonly (readonly number[])[] {
  const sums: number[] = [];
  return lines.map(({ values }) => values.map((value, index) => (sums[index] = (sums[index] ?? 0) + (value ?? 0))));
}

interface Box {
  readonly width: number;
  readonly height: number;
}

const BOX: Box = { width: WIDTH, height: HEIGHT };

function pathOf(values: readonly number[], top: number, closed: boolean, { width, height }: Box = BOX): string {
  const step = values.length > 1 ? width / (values.length - 1) : width;
  const points = values.map(
    (value, index) => `${(index * step).toFixed(1)} ${(height - (value / top) * (height - 2) - 1).toFixed(1)}`,
  );
  if (points.length === 0) return "";
  return closed ? `M0 ${height}L${points.join("L")}L${width} ${height}Z` : `M${points.join("L")}`;
}
