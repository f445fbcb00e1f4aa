import type { Measure } from "../../measures/compute.ts";
import type { MeasureDefinition, MeasureId, MeasureUnit } from "../../measures/catalogue.ts";
import { htmlAnswer } from "../answer.ts";
import { duration, milliseconds, percent, short, whole } from "../format.ts";
import { pageUrl, type Parameters } from "../paths.ts";
import { rangeParameters, readTimeRange, type TimeRange } from "../time-range.ts";
import { Frame, PageHead } from "../view/layout.tsx";
import type { PageContext } from "../view/page.ts";
import { Badge, Panel, RangePicker, Scroll, Show } from "../view/parts.tsx";

/** `/_latchkey/measures`: how well keys work and are looked after, each figure against its target. What `GET /measures` answers. */

export async function measuresPage(context: PageContext): Promise<Response> {
  const { calls, url, now } = context;
  const range = readTimeRange(url.searchParams, now);
  const read = await calls.readMeasures({
    from: new Date(range.from).toISOString(),
    to: new Date(range.to).toISOString(),
    top: "0",
  });
  return await htmlAnswer(
    <Frame context={context} title="Measures" place="measures">
      <PageHead title="Measures" lead="How well keys work and are looked after, each figure against its target.">
        <RangePicker range={range} url={url} presets={["24h", "7d", "30d", "90d"]} />
      </PageHead>
      <Panel title="All of them" wide note={range.title}>
        <Show of={read}>{({ measures }) => <MeasureTable measures={measures} range={range} />}</Show>
      </Panel>
    </Frame>,
  );
}

function MeasureTable({ measures, range }: { readonly measures: readonly Measure[]; readonly range: TimeRange }) {
  return (
    <Scroll name="Measures">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Measure</th>
            <th scope="col" class="number">
              Value
            </th>
            <th scope="col" class="number">
              Target
            </th>
            <th scope="col">Met</th>
          </tr>
        </thead>
        <tbody>
          {measures.map((of) => (
            <tr id={of.id}>
              <th scope="row">
                <div class="key-name">{of.name}</div>
                <div class={`soft small-text ${of.why === null ? "wide-only" : ""}`}>{of.why ?? of.definition}</div>
              </th>
              <td class="number">
                <a class="plain" href={evidenceUrl(of.id, range)} title={of.computed}>
                  {of.value === null ? "–" : valueText(of.value, of.unit)}
                </a>
              </td>
              <td class="number">{targetText(of)}</td>
              <td>
                {of.met === null ? (
                  <span class="soft">–</span>
                ) : (
                  <Badge tone={of.met ? "good" : "bad"}>{of.met ? "Met" : "Missed"}</Badge>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function valueText(value: number, unit: MeasureUnit): string {
  switch (unit) {
    case "ratio":
      return percent(value);
    case "milliseconds":
      return milliseconds(value);
    case "seconds":
      return value < 60 ? `${Number(value.toFixed(1))} s` : duration(value);
    case "per second":
      return `${Number(value.toPrecision(3))} a second`;
    case "keys":
    case "events":
    case "units":
    case "requests":
      return `${Number.isInteger(value) ? whole(value) : short(value)} ${value === 1 ? unit.slice(0, -1) : unit}`;
  }
}

function targetText({ target, unit }: Pick<MeasureDefinition, "target" | "unit">): string {
  if (target === null) return "–";
  return "atLeast" in target ? `≥ ${valueText(target.atLeast, unit)}` : `≤ ${valueText(target.atMost, unit)}`;
}

/** What the figure counts. */
const EVIDENCE: Readonly<Record<MeasureId, readonly [path: string, parameters: Parameters, hasRange?: boolean]>> = {
  M1: ["usage", { groupBy: "code" }, true],
  M2: ["usage", {}, true],
  M3: ["audit", { action: "key.create" }],
  M4: ["audit", { action: "key.revoke" }],
  M5: ["usage", { groupBy: "key" }, true],
  M6: ["usage", { groupBy: "key", status: 429 }, true],
  M7: ["alerts", {}],
  M8: ["keys", { status: "revoked" }],
  M9: ["usage", { groupBy: "key" }, true],
  M10: ["keys", { status: "active" }],
  M11: ["audit", { action: "key.rotate" }],
  M12: ["audit", { action: "key.rotate" }],
  M13: ["keys", { status: "active" }],
  M14: ["keys", { status: "active" }],
  M15: ["audit", { action: "key.revoke" }],
  M16: ["audit", { action: "key.revoke" }],
};

function evidenceUrl(id: MeasureId, range: TimeRange): string {
  const [path, parameters, hasRange = false] = EVIDENCE[id];
  return pageUrl(path, { ...parameters, ...(hasRange ? rangeParameters(range) : {}) });
}
