// @ts-check
/** Draws each `figure.chart` from the table below it, by uPlot. */

(() => {
  /** Some systems name a language in a way that browsers hand on and do not understand. */
  const languages = () => {
    try {
      return Intl.getCanonicalLocales([...navigator.languages]);
    } catch {
      return ["en"];
    }
  };

  const { uPlot } = /** @type {{ uPlot?: any }} */ (/** @type {unknown} */ (globalThis));
  if (uPlot === undefined) return;

  /** @param {string} name */
  const colour = (name) => {
    const probe = document.createElement("i");
    probe.className = `swatch ${name}`;
    probe.hidden = true;
    document.body.append(probe);
    const found = getComputedStyle(probe).getPropertyValue("color");
    probe.remove();
    return found;
  };

  /** @param {string} rgb @param {number} alpha */
  const faded = (rgb, alpha) => rgb.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);

  const compact = new Intl.NumberFormat(languages(), { notation: "compact", maximumFractionDigits: 1 });
  /** @type {Record<string, (value: number) => string>} */
  const units = {
    count: (value) => compact.format(value),
    ms: (value) => (value >= 1_000 ? `${value / 1_000} s` : `${value} ms`),
    percent: (value) => `${Math.round(value * 1_000) / 10} %`,
  };

  const day = new Intl.DateTimeFormat(languages(), { month: "short", day: "numeric" });
  const hour = new Intl.DateTimeFormat(languages(), { hour: "2-digit", minute: "2-digit" });

  /** The time, and below it the day wherever a new one begins. `step`: seconds between two of them. */
  const nameTimes = (/** @type {number[]} */ splits, /** @type {number} */ step) => {
    let last = "";
    return splits.map((seconds) => {
      const at = new Date(seconds * 1_000);
      const today = day.format(at);
      if (step >= 86_400) return today;
      const text = today === last ? hour.format(at) : `${hour.format(at)}\n${today}`;
      last = today;
      return text;
    });
  };

  /** @param {HTMLElement} figure */
  const read = (figure) => {
    const table = figure.querySelector("table");
    const names = [...(table?.querySelectorAll("thead th.number") ?? [])].map((head) => ({
      name: head.textContent?.trim() ?? "",
      tone: head instanceof HTMLElement ? (head.dataset["tone"] ?? "one") : "one",
    }));
    /** @type {number[]} */
    const times = [];
    /** @type {(number | null)[][]} */
    const values = names.map(() => []);
    /** @type {string[][]} */
    const shown = names.map(() => []);
    for (const row of table?.querySelectorAll("tbody tr") ?? []) {
      const head = row.querySelector("th");
      times.push(Number(head?.dataset["time"]));
      [...row.querySelectorAll("td")].forEach((cell, index) => {
        const text = cell.dataset["value"] ?? "";
        values[index]?.push(text === "" ? null : Number(text));
        shown[index]?.push(cell.textContent ?? "");
      });
    }
    return { names, times, values, shown };
  };

  /** @param {HTMLElement} figure */
  const draw = (figure) => {
    const place = figure.querySelector(".plot");
    if (!(place instanceof HTMLElement) || figure.dataset["drawn"] === "true") return;
    const { names, times, values, shown } = read(figure);
    if (times.length < 2) return;
    figure.dataset["drawn"] = "true";
    const stacked = figure.dataset["kind"] === "stack";
    /** @type {number[]} */
    const sums = times.map(() => 0);
    const drawn = stacked
      ? values.map((line) => line.map((value, index) => (sums[index] = (sums[index] ?? 0) + (value ?? 0))))
      : values;
    const unit = units[figure.dataset["unit"] ?? "count"] ?? String;
    const soft = colour("axis");
    const grid = colour("grid");
    const order = drawn.map((_, index) => (stacked ? drawn.length - 1 - index : index));
    const mark = Number(figure.dataset["mark"] ?? Number.NaN);
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    const options = {
      width: place.clientWidth,
      height: 200,
      legend: { show: false },
      cursor: { points: { size: 6 }, drag: { x: false, y: false } },
      scales: {
        x: { time: true },
        y: {
          range: (/** @type {unknown} */ _plot, /** @type {number} */ _min, /** @type {number} */ max) => [
            0,
            Math.max(max, Number.isFinite(mark) ? mark : 0) * 1.08 || 1,
          ],
        },
      },
      ...(stacked && drawn.length > 1
        ? { bands: order.slice(1).map((_, index) => ({ series: [index + 1, index + 2] })) }
        : {}),
      axes: [
        {
          stroke: soft,
          // The plot, the places, the axis, the room, the step.
          values: (/** @type {any[]} */ ...given) => nameTimes(given[1], given[4]),
          grid: { show: false },
          ticks: { stroke: grid, width: 1, size: 4 },
          font: "12px system-ui, sans-serif",
          space: 72,
        },
        {
          stroke: soft,
          grid: { stroke: grid, width: 1 },
          ticks: { show: false },
          font: "12px system-ui, sans-serif",
          size: 56,
          values: (/** @type {unknown} */ _plot, /** @type {number[]} */ splits) => splits.map(unit),
        },
      ],
      series: [
        {},
        ...order.map((index) => {
          const stroke = colour(names[index]?.tone ?? "one");
          return {
            label: names[index]?.name,
            stroke,
            width: 1.75,
            spanGaps: false,
            points: { show: !stacked, size: 4 },
            ...(stacked ? { fill: faded(stroke, 0.2) } : {}),
          };
        }),
      ],
      hooks: {
        draw: [
          (/** @type {any} */ plot) => {
            if (!Number.isFinite(mark)) return;
            const { ctx, bbox } = plot;
            const y = Math.round(plot.valToPos(mark, "y", true)) + 0.5;
            ctx.save();
            ctx.strokeStyle = colour("warn");
            ctx.setLineDash([6, 4]);
            ctx.beginPath();
            ctx.moveTo(bbox.left, y);
            ctx.lineTo(bbox.left + bbox.width, y);
            ctx.stroke();
            ctx.restore();
          },
        ],
        setCursor: [
          (/** @type {any} */ plot) => {
            const { idx, left } = plot.cursor;
            if (idx === null || idx === undefined || left < 0) {
              tip.hidden = true;
              return;
            }
            tip.replaceChildren();
            const when = document.createElement("b");
            when.textContent = new Date((times[idx] ?? 0) * 1_000).toLocaleString(languages(), {
              month: "short",
              day: "numeric",
              hour: "2-digit",
              minute: "2-digit",
            });
            tip.append(when);
            names.forEach(({ name, tone }, index) => {
              const line = document.createElement("span");
              const swatch = document.createElement("i");
              swatch.className = `swatch ${tone}`;
              line.append(swatch, `${name} `, shown[index]?.[idx] ?? "");
              tip.append(line);
            });
            tip.hidden = false;
            const room = plot.over.clientWidth;
            tip.style.left = `${Math.min(Math.max(0, left + 12), Math.max(0, room - tip.offsetWidth))}px`;
          },
        ],
      },
    };
    place.replaceChildren();
    const plot = new uPlot(options, [times, ...order.map((index) => drawn[index])], place);
    plot.over.append(tip);
    new ResizeObserver(() => {
      if (place.clientWidth > 0 && place.clientWidth !== plot.width)
        plot.setSize({ width: place.clientWidth, height: 200 });
    }).observe(place);
  };

  const drawAll = () => {
    for (const figure of document.querySelectorAll("figure.chart")) if (figure instanceof HTMLElement) draw(figure);
  };
  drawAll();
  addEventListener("latchkey:replaced", drawAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const figure of document.querySelectorAll("figure.chart")) figure.removeAttribute("data-drawn");
    drawAll();
  });
})();
