import type { EpochMs } from "../../src/keys/record.ts";
import { AlertsTable } from "./alerts-table.ts";
import { ChannelsTable } from "./channels-table.ts";
import { DeliveriesTable } from "./deliveries-table.ts";
import { QuietsTable } from "./quiets-table.ts";
import { SettingsTable } from "./settings-table.ts";

/** All that an alert center keeps. */
export interface Tables {
  readonly alerts: AlertsTable;
  readonly quiets: QuietsTable;
  readonly deliveries: DeliveriesTable;
  readonly channels: ChannelsTable;
  readonly settings: SettingsTable;
}

export function openTables(sql: SqlStorage, now: EpochMs): Tables {
  return {
    alerts: new AlertsTable(sql),
    quiets: new QuietsTable(sql, now),
    deliveries: new DeliveriesTable(sql),
    channels: new ChannelsTable(sql),
    settings: new SettingsTable(sql),
  };
}
