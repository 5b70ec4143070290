// Restate: its server (one node, its own log with fsync) and a service of this process with ten ctx.run steps, called through the ingress.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { once } from "node:events";
import { STEPS, drive, options } from "./load.mjs";

// The SDK expects it of its runtime; Node.js has it from version 22 on.
Promise.withResolvers ??= function () {
  const made = {};
  made.promise = new this((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};
const restate = await import("@restatedev/restate-sdk");
const clients = await import("@restatedev/restate-sdk-clients");

const given = options();
const ingress = 21080, admin = 21070, node = 21122, service = 21081;
const bench = restate.service({
  name: "bench",
  handlers: {
    ten: async (ctx) => {
      let last = 0;
      for (let n = 1; n <= STEPS; n++) last = await ctx.run(`step${n}`, () => n);
      return last;
    },
  },
});
const program = createRequire(import.meta.url).resolve("@restatedev/restate-server-linux-x64/bin/restate-server");
const server = spawn(program, ["--no-logo", "--listen-mode", "tcp", "--base-dir", given.folder, "--bind-port", String(node), "--bind-ip", "127.0.0.1"], {
  stdio: "ignore",
  env: { ...process.env, RESTATE_INGRESS__BIND_PORT: String(ingress), RESTATE_ADMIN__BIND_PORT: String(admin), RESTATE_DISABLE_TELEMETRY: "true",
    RESTATE_LOG_FILTER: "error", DO_NOT_TRACK: "1" },
});
process.on("exit", () => server.kill("SIGKILL"));
async function until(what, attempt) {
  const deadline = Date.now() + 60000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`${what}: ${error}`);
      await new Promise((go) => setTimeout(go, 200));
    }
  }
}
await restate.serve({ services: [bench], port: service });
await until("restate-server is not ready", async () => {
  const answer = await fetch(`http://127.0.0.1:${admin}/deployments`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ uri: `http://127.0.0.1:${service}`, force: true }),
  });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
});
const client = clients.connect({ url: `http://127.0.0.1:${ingress}` }).serviceClient({ name: "bench" });
await until("the service does not answer", () => client.ten());
await drive(given, () => client.ten());
server.kill("SIGTERM");
await Promise.race([once(server, "exit"), new Promise((go) => setTimeout(go, 5000))]);
process.exit(0);
