/** Files that the bundle carries as text: `with { type: "text" }`. Their contents are for the browser, and checked there. */

declare module "*.css" {
  const text: string;
  export default text;
}

declare module "uplot/dist/uPlot.iife.min.js" {
  const text: string;
  export default text;
}

declare module "#islands/page.js" {
  const text: string;
  export default text;
}

declare module "#islands/charts.js" {
  const text: string;
  export default text;
}

declare module "#islands/live.js" {
  const text: string;
  export default text;
}
