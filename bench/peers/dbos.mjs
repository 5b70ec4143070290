// DBOS Transact: a workflow of ten steps on PostgreSQL, started and awaited in this process.
import { DBOS } from "@dbos-inc/dbos-sdk";
import { STEPS, drive, options } from "./load.mjs";

const given = options();
DBOS.setConfig({ name: "bench", systemDatabaseUrl: given.url, logLevel: "error", runAdminServer: false });
const ten = DBOS.registerWorkflow(async () => {
  let last = 0;
  for (let n = 1; n <= STEPS; n++) last = await DBOS.runStep(async () => n, { name: `step${n}` });
  return last;
}, { name: "ten" });
await DBOS.launch();
await drive(given, async (id) => {
  const handle = await DBOS.startWorkflow(ten, { workflowID: id })();
  return handle.getResult();
});
await DBOS.shutdown();
process.exit(0);
