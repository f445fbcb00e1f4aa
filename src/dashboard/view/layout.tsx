import type { Child } from "hono/jsx";
import { assetUrl, type AssetName } from "../assets/assets.ts";
import { HOME_PATH, pageUrl } from "../paths.ts";
import { Icon, type IconName } from "./icons.tsx";
import type { PageContext, Theme } from "./page.ts";

/** The frame of every page. It says all that there is to say without a script; scripts only make it more handy. */

interface DocumentProps {
  readonly title: string;
  readonly theme: Theme;
  readonly scripts?: readonly AssetName[];
  readonly children?: Child;
}

export function Document({ title, theme, scripts = [], children }: DocumentProps) {
  return (
    <html lang="en" data-theme={theme}>
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content={theme === "auto" ? "light dark" : theme} />
        <meta name="robots" content="noindex" />
        <title>{title} · Latchkey</title>
        <link rel="icon" href="data:," />
        <link rel="stylesheet" href={assetUrl("style")} />
        {(["page", ...scripts] as const).map((name) => (
          <script src={assetUrl(name)} defer></script>
        ))}
      </head>
      <body>{children}</body>
    </html>
  );
}

interface Place {
  readonly name: string;
  readonly path: string;
  readonly icon: IconName;
}

/** A page that is not there is not named here. */
const PLACES: readonly (readonly [group: string, places: readonly Place[]])[] = [
  [
    "Watch",
    [
      { name: "Overview", path: "", icon: "overview" },
      { name: "On call", path: "on-call", icon: "on-call" },
      { name: "Alerts", path: "alerts", icon: "alerts" },
      { name: "Detections", path: "detections", icon: "detections" },
      { name: "Measures", path: "measures", icon: "measures" },
    ],
  ],
  [
    "Manage",
    [
      { name: "Keys", path: "keys", icon: "keys" },
      { name: "Owners", path: "owners", icon: "owners" },
    ],
  ],
  [
    "Look into",
    [
      { name: "Requests", path: "requests", icon: "requests" },
      { name: "Usage", path: "usage", icon: "usage" },
      { name: "Audit", path: "audit", icon: "audit" },
    ],
  ],
];

interface FrameProps {
  readonly context: PageContext;
  readonly title: string;
  /** Of the place in the navigation that this page belongs to. */
  readonly place: string;
  readonly scripts?: readonly AssetName[];
  readonly children?: Child;
}

export function Frame({ context, title, place, scripts = [], children }: FrameProps) {
  const { theme } = context;
  return (
    <Document title={title} theme={theme} scripts={scripts}>
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <div class="shell">
        <header class="side">
          <div class="side-head">
            <a class="brand" href={HOME_PATH}>
              <Mark />
              Latchkey
            </a>
            <details class="menu">
              <summary aria-label="Menu">
                <Icon name="menu" />
              </summary>
              <Navigation place={place} name="Menu" />
              <Account context={context} />
            </details>
          </div>
          <div class="side-body">
            <Navigation place={place} name="Main" />
            <Account context={context} />
          </div>
        </header>
        <main id="content" tabindex={-1}>
          {children}
        </main>
      </div>
    </Document>
  );
}

function Mark() {
  return (
    <svg class="mark" viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" focusable="false">
      <rect x="1" y="1" width="22" height="22" rx="6" fill="currentColor" />
      <path
        class="mark-key"
        d="M9.5 6.5a3.5 3.5 0 0 1 1.4 6.7V18H8.1v-4.8A3.5 3.5 0 0 1 9.5 6.5zM11 15.5h3.5"
        fill="none"
        stroke-width="1.8"
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  );
}

function Navigation({ place, name }: { readonly place: string; readonly name: string }) {
  return (
    <nav aria-label={name}>
      {PLACES.map(([group, places]) => (
        <div class="nav-group">
          <p class="nav-title">{group}</p>
          <ul>
            {places.map(({ name: text, path, icon }) => (
              <li>
                <a href={pageUrl(path)} {...(path === place ? { "aria-current": "page" } : {})}>
                  <Icon name={icon} />
                  {text}
                </a>
              </li>
            ))}
          </ul>
        </div>
      ))}
    </nav>
  );
}

function Account({ context: { visitor, url, theme } }: { readonly context: PageContext }) {
  const { caller, csrf, name, via } = visitor;
  const back = url.pathname + url.search;
  return (
    <div class="account">
      <p class="who">
        <span class="soft">Signed in as</span>
        <span class="who-name">{name}</span>
        {via === "root" ? null : (
          <span class="soft">
            Workspace <b>{caller.workspace}</b>
          </span>
        )}
      </p>
      {via === "root" ? (
        <form method="post" action={pageUrl("session/workspace")} class="workspace">
          <input type="hidden" name="csrf" value={csrf} />
          <label>
            <span class="soft">Workspace</span>
            <input name="workspace" value={caller.workspace} pattern="[A-Za-z0-9][A-Za-z0-9._:\-]{0,63}" required />
          </label>
          <button class="small">Go</button>
        </form>
      ) : null}
      <ThemeSwitch theme={theme} back={back} />
      <form method="post" action={pageUrl("session/end")}>
        <input type="hidden" name="csrf" value={csrf} />
        <button class="link">Sign out</button>
      </form>
    </div>
  );
}

export function ThemeSwitch({ theme, back }: { readonly theme: Theme; readonly back: string }) {
  return (
    <form method="post" action={pageUrl("session/theme")} class="themes" aria-label="Colours">
      <input type="hidden" name="back" value={back} />
      {(["auto", "light", "dark"] as const).map((name) => (
        <button name="theme" value={name} aria-pressed={name === theme ? "true" : "false"}>
          {name === "auto" ? "System" : name === "light" ? "Light" : "Dark"}
        </button>
      ))}
    </form>
  );
}

interface HeadProps {
  readonly title: Child;
  readonly lead?: Child;
  readonly children?: Child;
  readonly trail?: readonly (readonly [text: string, href: string])[];
}

/** Title, what it is about, and on the right what can be done. */
export function PageHead({ title, lead, children, trail = [] }: HeadProps) {
  return (
    <div class="head">
      <div class="head-text">
        {trail.length === 0 ? null : (
          <nav aria-label="Where you are" class="trail">
            {trail.map(([text, href]) => (
              <a href={href}>{text}</a>
            ))}
          </nav>
        )}
        <h1>{title}</h1>
        {lead === undefined ? null : <p class="lead">{lead}</p>}
      </div>
      {children === undefined ? null : <div class="head-actions">{children}</div>}
    </div>
  );
}
