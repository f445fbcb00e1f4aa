import { listDeliveries, replayDelivery, testChannel } from "./alert-deliveries.ts";
import {
  addMaintenance,
  addSilence,
  endMaintenance,
  endSilence,
  listMaintenance,
  listSilences,
} from "./alert-silences.ts";
import { acknowledgeAlert, listAlerts, readAlert, resolveAlert } from "./alerts.ts";
import { listAudit, verifyAudit } from "./audit.ts";
import { dryRunDetections, listDetections, readDetection } from "./detections.ts";
import { importKeys } from "./key-import.ts";
import { disableKey, enableKey, revokeKey, revokeKeyTokens, rotateKey } from "./key-lifecycle.ts";
import { createKey, listKeys, patchKey, readKey } from "./keys.ts";
import type { Operation } from "./operation.ts";
import { openPortal } from "./portal.ts";
import { disableOwner, enableOwner, listOwners, putOwner, readOwner } from "./owners.ts";
import { readMeasures } from "./measures.ts";
import { listRequests, readRequest } from "./requests.ts";
import { listSigningKeys, rotateSigningKeys } from "./signing-keys.ts";
import { readStatement } from "./statements.ts";
import { readUsage } from "./usage.ts";

/**
 * Every call of the control API, on one screen: its method, its path, and the scope that guards it. What is not here is not
 * served. `policies:write` guards nothing yet: limits, plan and policy are set with `keys:write`; it is kept for policies that
 * stand on their own.
 */
export const OPERATIONS: readonly Operation[] = [
  createKey, //   POST  /keys                 keys:write
  listKeys, //    GET   /keys                 keys:read
  importKeys, //  POST  /keys/import          keys:write
  readKey, //     GET   /keys/{id}            keys:read
  patchKey, //    PATCH /keys/{id}            keys:write
  rotateKey, //   POST  /keys/{id}/rotate     keys:write
  revokeKey, //   POST  /keys/{id}/revoke     keys:revoke
  revokeKeyTokens, // POST /keys/{id}/revoke-tokens keys:revoke
  disableKey, //  POST  /keys/{id}/disable    keys:write
  enableKey, //   POST  /keys/{id}/enable     keys:write
  listOwners, //  GET   /owners               keys:read
  readOwner, //   GET   /owners/{id}          keys:read
  putOwner, //    PUT   /owners/{id}          owners:write
  disableOwner, // POST /owners/{id}/disable  owners:write
  openPortal, //  POST  /owners/{id}/portal-sessions keys:write
  enableOwner, // POST  /owners/{id}/enable   owners:write
  readUsage, //   GET   /usage                usage:read
  readStatement, // GET /owners/{id}/statement usage:read
  readMeasures, // GET   /measures             usage:read
  listRequests, // GET   /requests             usage:read
  readRequest, //  GET   /requests/{id}        usage:read
  listAudit, //   GET   /audit                audit:read
  verifyAudit, // GET   /audit/verify         audit:read
  listAlerts, //       GET    /alerts                          alerts:read
  readAlert, //        GET    /alerts/{id}                     alerts:read
  acknowledgeAlert, // POST   /alerts/{id}/acknowledge         alerts:write
  resolveAlert, //     POST   /alerts/{id}/resolve             alerts:write
  listSilences, //     GET    /alert-silences                  alerts:read
  addSilence, //       POST   /alert-silences                  alerts:write
  endSilence, //       DELETE /alert-silences/{id}             alerts:write
  listMaintenance, //  GET    /maintenance-windows             alerts:read
  addMaintenance, //   POST   /maintenance-windows             alerts:write
  endMaintenance, //   DELETE /maintenance-windows/{id}        alerts:write
  listDeliveries, //   GET    /alert-deliveries                alerts:read
  replayDelivery, //   POST   /alert-deliveries/{id}/replay    alerts:write
  testChannel, //      POST   /alert-channels/{id}/test        alerts:write
  listDetections, //   GET    /detections                      alerts:read
  dryRunDetections, // POST   /detections/dry-run              alerts:read
  readDetection, //    GET    /detections/{id}                 alerts:read
  listSigningKeys, //   GET  /signing-keys         audit:read
  rotateSigningKeys, // POST /signing-keys/rotate  admin:*
];

/** Where the operations stand. */
export const CONTROL_BASE = "/_latchkey/v1";
export const OPENAPI_PATH = "/_latchkey/openapi.json";
export const DOCS_PATH = "/_latchkey/docs";
