/** The least that a proxy can do: the candidate `floor`. */

interface FloorEnv {
  readonly ORIGIN_URL: string;
}

export default {
  async fetch(request, env) {
    const { pathname, search } = new URL(request.url);
    return await fetch(env.ORIGIN_URL + pathname + search, request);
  },
} satisfies ExportedHandler<FloorEnv>;
