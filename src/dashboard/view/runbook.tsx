/**
 * Where it is written what to do about an alert: a link where `alerts.runbookUrl` is set, else the place in Latchkey's own
 * documents, which this Worker does not serve.
 */
export function Runbook({ place }: { readonly place: string }) {
  const address = addressOf(place);
  return (
    <p class="panel-body">
      What to do is written in {address === null ? <code>{place}</code> : <a href={address}>{address}</a>}.
    </p>
  );
}

/** For a row of a list; nothing where there is no address. */
export function RunbookLink({ place, title }: { readonly place: string; readonly title: string }) {
  const address = addressOf(place);
  if (address === null) return null;
  return (
    <a class="plain small-text" href={address} aria-label={`Runbook: ${title}`}>
      Runbook
    </a>
  );
}

function addressOf(place: string): string | null {
  const url = URL.parse(place);
  return url !== null && (url.protocol === "https:" || url.protocol === "http:") ? url.href : null;
}
