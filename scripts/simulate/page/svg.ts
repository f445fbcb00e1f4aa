/** Line plots as SVG, readable on light and dark pages: colours follow `prefers-color-scheme`, and lines differ by more than colour. */

export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly style: "solid" | "dashed" | "dotted";
  /** Which of the palette's colours. */
  readonly colour: 0 | 1 | 2 | 3;
}

export interface Axis {
  readonly label: string;
  readonly scale: "log" | "linear";
  readonly from: number;
  readonly to: number;
  readonly ticks: readonly (readonly [at: number, label: string])[];
}

export interface Plot {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  /** A horizontal line that should not be crossed. */
  readonly bound?: { readonly at: number; readonly label: string };
}

const WIDTH = 760;
const HEIGHT = 420;
const LEFT = 70;
const RIGHT = 190;
const TOP = 44;
const BOTTOM = 56;
const DASHES = { solid: "none", dashed: "7 4", dotted: "2 4" } as const;
const LEGEND_LINE = 22;

const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600; font-size: 15px }
  .back { fill: #ffffff } .grid { stroke: #d0d7de; stroke-width: 1 } .bound { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 4 3 }
  .bound-label { fill: #cf222e } .line { fill: none; stroke-width: 2.5 }
  .c0 { stroke: #0969da; fill: #0969da } .c1 { stroke: #bc4c00; fill: #bc4c00 } .c2 { stroke: #1a7f37; fill: #1a7f37 } .c3 { stroke: #8250df; fill: #8250df }
  .line.c0, .line.c1, .line.c2, .line.c3 { fill: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .back { fill: #0d1117 } .grid { stroke: #30363d } .bound { stroke: #ff7b72 } .bound-label { fill: #ff7b72 }
    .c0 { stroke: #58a6ff; fill: #58a6ff } .c1 { stroke: #f0883e; fill: #f0883e } .c2 { stroke: #3fb950; fill: #3fb950 } .c3 { stroke: #bc8cff; fill: #bc8cff }
  }`;

export function drawPlot(plot: Plot): string {
  const x = (value: number): number => LEFT + place(plot.x, value) * (WIDTH - LEFT - RIGHT);
  const y = (value: number): number => HEIGHT - BOTTOM - place(plot.y, value) * (HEIGHT - TOP - BOTTOM);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escape(plot.title)}">`,
    `<style>${STYLE}\n</style>`,
    `<rect class="back" width="${WIDTH}" height="${HEIGHT}"/>`,
    text(LEFT, TOP - 18, plot.title, 'class="title"'),
    ...plot.x.ticks.flatMap(([at, label]) => [
      line([x(at), TOP], [x(at), HEIGHT - BOTTOM]),
      text(x(at), HEIGHT - BOTTOM + 20, label, 'text-anchor="middle"'),
    ]),
    ...plot.y.ticks.flatMap(([at, label]) => [
      line([LEFT, y(at)], [WIDTH - RIGHT, y(at)]),
      text(LEFT - 8, y(at) + 4, label, 'text-anchor="end"'),
    ]),
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, plot.x.label, 'text-anchor="middle"'),
    text(
      16,
      (TOP + HEIGHT - BOTTOM) / 2,
      plot.y.label,
      `text-anchor="middle" transform="rotate(-90 16 ${(TOP + HEIGHT - BOTTOM) / 2})"`,
    ),
    ...boundParts(plot, y),
    ...plot.series.flatMap((series, index) => seriesParts(series, index, { x, y })),
    "</svg>",
  ];
  return `${parts.join("\n")}\n`;
}

function boundParts({ bound }: Plot, y: (value: number) => number): string[] {
  if (bound === undefined) return [];
  const at = y(bound.at);
  return [
    `<line class="bound" x1="${LEFT}" y1="${round(at)}" x2="${WIDTH - RIGHT}" y2="${round(at)}"/>`,
    text(LEFT + 6, at - 6, bound.label, 'class="bound-label"'),
  ];
}

interface Places {
  readonly x: (value: number) => number;
  readonly y: (value: number) => number;
}

function seriesParts({ name, points, style, colour }: Series, index: number, { x, y }: Places): string[] {
  const places = points
    .filter(([, value]) => Number.isFinite(value))
    .map(([at, value]) => [round(x(at)), round(y(value))] as const);
  const legendY = TOP + 8 + index * LEGEND_LINE;
  const legendX = WIDTH - RIGHT + 14;
  const dash = `stroke-dasharray="${DASHES[style]}"`;
  return [
    `<polyline class="line c${colour}" ${dash} points="${places.map((at) => at.join(",")).join(" ")}"/>`,
    ...places.map(([cx, cy]) => `<circle class="c${colour}" cx="${cx}" cy="${cy}" r="3.5"/>`),
    `<line class="line c${colour}" ${dash} x1="${legendX}" y1="${legendY - 4}" x2="${legendX + 26}" y2="${legendY - 4}"/>`,
    text(legendX + 32, legendY, name, ""),
  ];
}

/** 0 at the axis's beginning, 1 at its end; what lies outside stands at its edge. */
function place({ scale, from, to }: Axis, value: number): number {
  const by = scale === "log" ? Math.log : (number: number): number => number;
  const inside = Math.min(Math.max(value, from), to);
  return (by(inside) - by(from)) / (by(to) - by(from));
}

function line(from: readonly [number, number], to: readonly [number, number]): string {
  return `<line class="grid" x1="${round(from[0])}" y1="${round(from[1])}" x2="${round(to[0])}" y2="${round(to[1])}"/>`;
}

function text(x: number, y: number, words: string, attributes: string): string {
  return `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escape(words)}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escape(words: string): string {
  return words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
