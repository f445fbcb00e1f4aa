/**
 * Where it is written what to do about an alert: a link where `alerts.runbookUrl` is set, else the place in Latchkey's own
 * documents, which this Worker does not serve.
 */
export function Runbook({ place }: { readonly place: string }) {
  const url = URL.parse(place);
  const isAddress = url !== null && (url.protocol === "https:" || url.protocol === "http:");
  return (
    <p class="panel-body">
      What to do is written in {isAddress ? <a href={url.href}>{url.href}</a> : <code>{place}</code>}.
    </p>
  );
}
