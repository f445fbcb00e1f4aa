/** Drawn here, since nothing is loaded from elsewhere. 16 by 16, in the colour of the text. */

const PATHS = {
  overview: "M2 9.5h4V14H2zM7 5h3v9H7zM11 2h3v12h-3z",
  "on-call": "M1 8h3l2-5 3 10 2-5h4",
  alerts: "M8 1.5a4 4 0 0 0-4 4V9l-1.5 2.5h11L12 9V5.5a4 4 0 0 0-4-4zM6.5 13.5h3",
  detections: "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8zM8 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  measures: "M2.5 12a5.5 5.5 0 1 1 11 0M8 12l2.5-4",
  requests: "M2 3.5h12M2 8h8M2 12.5h10",
  keys: "M10.5 5.5a3 3 0 1 0-2.6 2.97L9.5 10H11v1.5h1.5V13H14.5v-2.2L10.3 6.6c.13-.35.2-.72.2-1.1zM7 5h.01",
  owners: "M8 8a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2.5 14a5.5 5.5 0 0 1 11 0",
  usage: "M2 14V2M2 14h12M5 11l3-4 2 2 3.5-5",
  audit: "M3.5 1.5h6l3 3v10h-9zM6 7h4M6 10h4",
  menu: "M2 4h12M2 8h12M2 12h12",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      <path
        d={PATHS[name]}
        fill="none"
        stroke="currentColor"
        stroke-width="1.5"
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  );
}
