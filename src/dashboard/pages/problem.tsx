import { PROBLEMS } from "../../http/codes.ts";
import type { Problem } from "../../http/problem.ts";
import { htmlAnswer } from "../answer.ts";
import { HOME_PATH } from "../paths.ts";
import { readCookie } from "../session/cookies.ts";
import { Document } from "../view/layout.tsx";
import { readTheme } from "../view/page.ts";

/** A refusal as a page by itself: where there is no visitor to make a frame for, or nothing to show in it. */
export async function problemAnswer(request: Request, problem: Problem): Promise<Response> {
  const { status, title } = PROBLEMS[problem.code];
  const theme = readTheme(readCookie(request, "latchkey-theme"));
  const response = await htmlAnswer(
    <Document title={title} theme={theme}>
      <main class="alone">
        <div class="card">
          <h1>{title}</h1>
          <p>{problem.detail}</p>
          <p>
            <a href={HOME_PATH}>To the overview</a>
          </p>
          <p class="soft small-text">
            <a href={`/_latchkey/problems/${problem.code}`}>{problem.code}</a>, HTTP {status}
          </p>
        </div>
      </main>
    </Document>,
    status,
  );
  if (problem.retryAfterSeconds !== undefined) response.headers.set("Retry-After", String(problem.retryAfterSeconds));
  return response;
}
