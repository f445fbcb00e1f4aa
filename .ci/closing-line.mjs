/** Prints the closing line of a test run from vitest's JSON report, and fails when the run did. */
import { readFileSync } from "node:fs";

const text = readFileSync(process.argv[2] ?? "", "utf8");
// Nothing was written: the run ended before its first test.
const report =
  text === ""
    ? { success: false, numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0, testResults: [] }
    : JSON.parse(text);

// A file that cannot be loaded has no tests to fail.
const brokenFiles = report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0);
const counted = report.numFailedTests + brokenFiles.length;
const failed = counted === 0 && !report.success ? 1 : counted;
const skipped = report.numPendingTests + report.numTodoTests;

console.log(`${report.numPassedTests} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exitCode = failed > 0 ? 1 : 0;
