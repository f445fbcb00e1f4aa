/** The same proxy through Hono, with nothing else on its way: the candidate `hono`. */
import { Hono } from "hono";

interface Bindings {
  readonly ORIGIN_URL: string;
}

const app = new Hono<{ Bindings: Bindings }>();

app.all("*", (context) => {
  const { pathname, search } = new URL(context.req.url);
  return fetch(context.env.ORIGIN_URL + pathname + search, context.req.raw);
});

export default app;
